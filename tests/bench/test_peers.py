"""The peers do what they are there for: a weak peer would flatter us."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import peers
from bench.documents import document
from bench.processes import Client, Processes, at, free_ports
from tests.support.etcd import EtcdServer

HEADERS = {"content-type": "application/json", "etag": '"4711"', "age": "1"}
ADDED = {"content-length": "100", "server": "granian", "date": "today"}


@pytest.fixture(params=[False, True], ids=["one session", "a session each"])
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    running = Processes(tmp_path, own_sessions=request.param)
    yield running
    running.close()


@pytest.mark.parametrize("name", ["bare", "flask"])
def test_peer_answers_what_a_hit_answers(processes: Processes, name: str) -> None:
    """The same body and the same names of headers, those that a server adds once only; in the session it is told to."""
    (port,) = free_ports(1)
    command = {"bare": [sys.executable, "-m", "bench.peers", "bare", str(port)], "flask": peers.flask_command(port)}
    said = peers.environment(document(0), HEADERS | ADDED)
    child = processes.start(name, command[name], f"{at(port)}/config/a", **said)
    with Client(at(port)) as asking:
        body, headers = asking.ask("GET", "/config/a/b")
    assert body == document(0)
    assert headers.keys() == HEADERS.keys() | ADDED.keys()
    assert HEADERS.items() <= headers.items()
    assert (os.getsid(child.pid) == child.pid) is processes.own_sessions
    assert (os.getsid(child.pid) == os.getsid(0)) is not processes.own_sessions


def test_peer_that_can_not_start_is_told_by_its_log(processes: Processes) -> None:
    from service.process.startup import StartupError

    with pytest.raises(StartupError, match="expected: bare PORT"):
        processes.start("bare", [sys.executable, "-m", "bench.peers"], at(free_ports(1)[0]))


def test_bare_watch_sees_each_put_and_takes_no_less_than_no_time(etcd: EtcdServer) -> None:
    """Each delay belongs to one put: an event of another would be refused."""
    before = time.monotonic()
    seen = list(peers.watch_delays(etcd.endpoint, 5))
    assert len(seen) == 5
    assert all(0.0 <= delay <= (time.monotonic() - before) * 1e3 for delay in seen)
    assert etcd.etcdctl("get", "--print-value-only", peers.WATCHED.decode()).encode().strip() == document(0)
