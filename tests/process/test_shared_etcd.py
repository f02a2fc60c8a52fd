"""One embedded etcd for all instances of a directory: the first owns it, the others join."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from consistency.core.store import Unavailable, Want
from consistency.etcd.config import EtcdConfig
from consistency.etcd.probe import EtcdProbe, MemberStatus
from consistency.etcd.store import EtcdStore
from service.embedded_etcd import child
from service.embedded_etcd.child import CLIENT_PORT, launch
from service.embedded_etcd.others import can_be_joined, find_running
from service.embedded_etcd.questions import takes_writes_over_http
from service.embedded_etcd.shared import EmbeddedEtcd, RunningEtcd, find_etcd
from service.process.compose import etcd_config
from service.process.startup import StartupError
from service.settings.connection import resolve
from service.settings.model import Settings
from tests.support import driver
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, is_running, within
from tests.support.recent_etcd import recent_etcd


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def test_the_second_instance_joins_the_etcd_of_the_first(tmp_path: Path) -> None:
    """It says whose it is, sees the same data, and leaves it alone when it stops."""
    with InstanceProcess(tmp_path) as first, InstanceProcess(tmp_path) as second:
        assert within(5, lambda: f"embedded (shared with process {first.pid})" in second.printed())
        assert first.put("a", b"1").status_code == 201
        assert second.get("a", params={"use_cache": "false"}).content == b"1"
        assert second.stop() == 0
        assert first.put("a", b"2").status_code == 200


def test_of_instances_that_start_at_once_exactly_one_owns_the_etcd(tmp_path: Path) -> None:
    """1. A and B look for an etcd.  2. Neither finds one.  3. Both would start one on the same data."""
    instances = [InstanceProcess(tmp_path).start() for _ in range(3)]
    try:
        for instance in instances:
            instance.wait_until_ready()
        owner = instances[0].embedded_etcd()["owner"]
        assert [instance.pid for instance in instances].count(owner) == 1
        assert len({instance.wait_for_slot() for instance in instances}) == 3
    finally:
        for instance in instances:
            instance.kill()


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EmbeddedEtcd]:
    """One of this very process."""
    found = EmbeddedEtcd(tmp_path, quiet)
    yield found
    found.stop(5)


def record(directory: Path, pid: int, owner: int, endpoint: str = "http://127.0.0.1:1") -> None:
    """What an earlier run would have left in etcd.json."""
    found = {"endpoint": endpoint, "version": "3", "pid": pid, "owner": owner}
    (directory / "etcd.json").write_text(json.dumps(found))


def test_a_stale_file_does_not_cost_another_process_its_life(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """Process ids are given again: the one in the file may be anybody's by now."""
    with subprocess.Popen(["sleep", "60"]) as bystander:
        record(tmp_path, bystander.pid, owner=bystander.pid)
        assert etcd.start().owner == os.getpid()
        assert is_running(bystander.pid)
        bystander.kill()


def test_an_etcd_that_outlived_its_owner_is_ended_first(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """Where no kernel ends it with its owner; two on one data directory would wait for each other."""
    orphan = start_orphan(f"--data-dir={tmp_path / 'etcd'}")
    record(tmp_path, pid=orphan, owner=1)
    etcd.start()
    assert not is_running(orphan)


def start_orphan(argument: str) -> int:
    """A process that is nobody's child but init's, with this argument on its command line; its id."""
    command = f"{sys.executable} -c 'import time; time.sleep(60)' {argument} >/dev/null 2>&1 & echo $!"
    return int(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"pid": "x"}'])
def test_an_unreadable_file_is_written_anew(tmp_path: Path, etcd: EmbeddedEtcd, content: str) -> None:
    """The lock decides who owns the etcd; the file only tells."""
    (tmp_path / "etcd.json").write_text(content)
    assert etcd.start().owner == os.getpid()


def test_a_file_of_a_dead_owner_is_not_joined_even_if_an_etcd_answers_there(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """1. A is killed, its file stays.  2. B takes the lock.  3. C reads A's file before B empties it."""
    running = etcd.start()
    assert joinable(running, tmp_path)
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    assert not joinable(replace(running, owner=dead.pid), tmp_path)


def joinable(running: RunningEtcd, directory: Path) -> bool:
    return driver.run(can_be_joined(running, directory / "etcd"))


def test_another_etcd_at_the_address_of_one_that_is_down_is_not_joined(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """While its owner waits to start it again, the port is anybody's."""
    assert not joinable(replace(etcd.start(), trouble="it is down"), tmp_path)


def test_a_taken_port_makes_it_take_another(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """2379 is often some other etcd's."""
    with port_taken(CLIENT_PORT):
        running = etcd.start()
    assert not running.endpoint.endswith(f":{CLIENT_PORT}")
    assert running.owner == json.loads((tmp_path / "etcd.json").read_text())["owner"]


Another = Callable[..., AbstractContextManager[str]]


@contextlib.contextmanager
def foreign(directory: Path, at: str = "") -> Iterator[str]:
    """An etcd that knows nothing of ours, and goes by any name: its endpoint. at: host:port."""
    etcd = EtcdServer(directory)
    if at:
        etcd.client_port = int(at.rpartition(":")[2])
    with etcd:
        yield etcd.endpoint


@contextlib.contextmanager
def of_another_instance(directory: Path, at: str = "") -> Iterator[str]:
    """The endpoint of an embedded one."""
    directory.mkdir()
    etcd = launch(find_etcd(), directory / "data", directory / "log", within=20, again_at=at)
    try:
        yield etcd.endpoint
    finally:
        etcd.stop(5)


class NotYet(Exception):
    """Who wanted to join still waits."""


@pytest.mark.parametrize("named", [True, False], ids=["named", "of an earlier release"])
@pytest.mark.parametrize("other", [foreign, of_another_instance])
def test_an_etcd_that_took_the_port_of_one_that_ended_is_not_joined(
    tmp_path: Path, etcd: EmbeddedEtcd, other: Another, named: bool
) -> None:
    """1. A's etcd ends.  2. Another etcd takes its port.  3. B reads A's file, before A has noticed: it would join the
    other one, and write there. The doctor would examine it."""
    with port_taken(CLIENT_PORT):  # which every program that starts an etcd on this machine tries first
        running = etcd.start()
        if not named:
            record(tmp_path, running.pid, running.owner, running.endpoint)
        os.kill(running.pid, signal.SIGKILL)
        assert within(5, lambda: not is_running(running.pid))
        looks = iter(range(5))
        with other(tmp_path / "other", running.address) as taken:
            assert taken == running.endpoint
            assert find_running(tmp_path) is None

            def wait() -> None:
                if next(looks, None) is None:
                    raise NotYet

            with pytest.raises(NotYet):
                EmbeddedEtcd(tmp_path, quiet).start(wait)


def test_an_etcd_of_an_earlier_release_that_wrote_no_name_is_joined(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """A release is replaced by the next one instance after the other. The process that is told of is seen instead."""
    running = etcd.start()
    assert running.name
    record(tmp_path, running.pid, running.owner, running.endpoint)
    found = find_running(tmp_path)
    assert found
    assert (found.endpoint, found.name) == (running.endpoint, "")


@pytest.mark.parametrize("other", [foreign, of_another_instance])
def test_an_etcd_that_has_just_taken_the_port_is_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Another
) -> None:
    """1. A and B find the same port free.  2. A's etcd listens there.  3. B's can't, and takes its time to end; A's
    answers meanwhile. B would write to A's etcd."""
    with other(tmp_path / "other") as taken:
        ports, free_port = iter([int(taken.rpartition(":")[2])]), child._free_port
        monkeypatch.setattr(child, "_free_port", lambda: next(ports, None) or free_port())
        ours = launch(find_etcd(), tmp_path / "data", tmp_path / "log", within=20)
        try:
            assert ours.endpoint != taken
            assert ours.exit_code() is None
        finally:
            ours.stop(5)


@pytest.mark.parametrize("program", [find_etcd, recent_etcd])
def test_each_data_directory_has_a_cluster_id_of_its_own_and_keeps_it(
    tmp_path: Path, program: Callable[[], Path]
) -> None:
    """It is what tells the caches of one embedded etcd that another one has taken the port."""
    first = begun(program(), tmp_path / "first")
    assert begun(program(), tmp_path / "second") != first
    assert begun(program(), tmp_path / "first") == first


@pytest.mark.parametrize("program", [find_etcd, recent_etcd])
def test_data_of_an_earlier_release_keeps_its_cluster_id(tmp_path: Path, program: Callable[[], Path]) -> None:
    """It drew nothing, and all its data had the same id: a name that is drawn now changes nothing of that."""
    earlier = [begun(program(), tmp_path / name, "--initial-cluster-token=etcd-cluster") for name in "ab"]
    assert [begun(program(), tmp_path / name) for name in "ab"] == earlier
    assert earlier[0] == earlier[1]


def begun(program: Path, data: Path, *options: str) -> int:
    """The id of the cluster that an etcd on this data is of."""
    etcd = launch(program, data, data.with_name(f"{data.name}.log"), within=20, options=options)
    try:
        return cluster_of(etcd.endpoint)
    finally:
        etcd.stop(5)


def cluster_of(endpoint: str) -> int:
    """The id of the cluster that answers there."""
    return status_of(endpoint).cluster


def status_of(endpoint: str) -> MemberStatus:
    """What the etcd that answers there says of itself."""
    probe = EtcdProbe(EtcdConfig((endpoint,), "/"))
    try:
        return driver.run(probe.status(0, 5.0))
    finally:
        driver.run(probe.close())


@pytest.mark.parametrize("program", [find_etcd, recent_etcd])
def test_an_instance_knows_its_etcd_before_that_has_answered_it(
    tmp_path: Path, etcd: EmbeddedEtcd, monkeypatch: pytest.MonkeyPatch, program: Callable[[], Path]
) -> None:
    """1. An etcd is started, or joined.  2. It ends before anything else was asked.  3. Another one takes its port, and
    is the first to answer."""
    monkeypatch.setenv("PATH", str(program().parent), prepend=os.pathsep)
    running, joined = etcd.start(), find_running(tmp_path)
    assert joined == running
    assert running.member == status_of(running.endpoint).member
    with of_another_instance(tmp_path / "other") as theirs:
        connection = resolve(Settings.load({})).at(theirs, running.member)
        store = EtcdStore(etcd_config(Settings.load({}), connection))
        with pytest.raises(Unavailable, match="it is of another etcd cluster"):
            driver.run(store.read([Want("a")], None, timeout=5.0))
        driver.run(store.close())


@pytest.mark.parametrize("program", [find_etcd, recent_etcd])
def test_of_http_it_offers_no_more_than_its_health(
    etcd: EmbeddedEtcd, monkeypatch: pytest.MonkeyPatch, program: Callable[[], Path]
) -> None:
    """Whatever is new there in some release of etcd is looked at here before it is offered to the browsers around."""
    monkeypatch.setenv("PATH", str(program().parent), prepend=os.pathsep)
    endpoint = etcd.start().endpoint
    assert not driver.run(takes_writes_over_http(endpoint.removeprefix("http://")))
    posted = {path: status(endpoint, "POST", path) for path in GATEWAY}
    assert posted == dict.fromkeys(GATEWAY, 404)
    assert status(endpoint, "GET", "/health", Host="evil.example") == 421
    assert status(endpoint, "GET", "/health", Host="localhost:2379") == 200


GATEWAY = ("/v3/kv/put", "/v3/kv/range", "/v3/lease/grant", "/v3/auth/enable", "/v3beta/kv/put", "/v2/keys/a",
           "/v3/maintenance/snapshot", "/debug/pprof/", "/members")  # fmt: skip


def status(endpoint: str, method: str, path: str, **headers: str) -> int:
    with contextlib.closing(HTTPConnection(endpoint.removeprefix("http://"), timeout=5)) as connection:
        connection.request(method, path, b"{}", headers)
        return connection.getresponse().status


def test_an_etcd_that_web_pages_can_write_to_is_not_joined(tmp_path: Path, etcd: EmbeddedEtcd) -> None:
    """An earlier release left its gateway on. An instance that joined would be behind an open door."""
    started = EtcdServer(tmp_path / "earlier", arguments=[f"--data-dir={tmp_path / 'etcd'}"])
    with started as earlier, (tmp_path / "etcd.json").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record(tmp_path, earlier.pid, owner=os.getpid(), endpoint=earlier.endpoint)
        with pytest.raises(StartupError, match=rf"any web page .* End process {os.getpid()}, then start again"):
            etcd.start()


@contextlib.contextmanager
def port_taken(port: int) -> Iterator[None]:
    """Takes a port of 127.0.0.1, unless somebody has it already."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def test_the_log_of_the_last_run_is_kept_and_no_more(tmp_path: Path) -> None:
    """Bounded, and still there when the reason for a crash is looked for."""
    for _ in range(3):
        etcd = EmbeddedEtcd(tmp_path, quiet)
        running: RunningEtcd = etcd.start()
        assert is_running(running.pid)
        etcd.stop(5)
        assert within(1, lambda pid=running.pid: not is_running(pid))  # type: ignore[misc]
    assert sorted(path.name for path in tmp_path.glob("etcd.log*")) == ["etcd.log", "etcd.log.1"]
