"""Requests that are refused before their body was looked at cost nobody else an answer, and get their own.

What this is about comes from two that use one connection: a server that ends it unannounced, and whoever sends the next
request over it, which behind a balancer is another client.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guarantees.refused import Refusal, Refused
from tests.load.requirements import need_haproxy
from tests.support.balancer import Balancer
from tests.support.etcd import EtcdServer, wait_for
from tests.support.instances import InstanceProcess
from tests.support.meanwhile import meanwhile
from torture.client import Connections
from torture.world import quiet_ports

pytestmark = [pytest.mark.secured, pytest.mark.alone]

INNOCENT = 6
REFUSED = 4
ROUNDS = 200
"""Of three requests. Without the discarding of bodies some 100 in 1,000 refused connections lose their next request."""

PAUSE = 0.002
WRITER = "w" * 32
READER = "r" * 32
AS_WRITER = f"Authorization: Bearer {WRITER}"
REFUSALS = (
    Refusal(401, "PUT", "/config/refused"),
    Refusal(403, "PUT", "/config/refused", f"Authorization: Bearer {READER}"),
    Refusal(404, "PUT", "/nothing", AS_WRITER),
    Refusal(404, "GET", "/config/nothing", AS_WRITER),
    Refusal(405, "PUT", "/healthz", AS_WRITER),
    Refusal(400, "PUT", "/config/refused?x=1", AS_WRITER),
    Refusal(400, "DELETE", "/config/refused?x=1", AS_WRITER),
    Refusal(412, "DELETE", "/config/refused", f'{AS_WRITER}\r\nIf-Match: "1"'),
    Refusal(411, "PUT", "/config/refused", AS_WRITER, chunked=True),
    Refusal(415, "PUT", "/config/refused", f"{AS_WRITER}\r\nContent-Encoding: gzip"),
)
PROBE = f"GET /config/0 HTTP/1.1\r\nHost: localhost\r\n{AS_WRITER}\r\n\r\n".encode()
FAILURES = ("wretr", "wredis", "econ", "eresp", "srv_abrt", "hrsp_5xx")
"""See `tests/guarantees/test_rolling_restart.py`."""


class Innocent:
    """Writes and reads a document, over one connection or, every other of them, over many."""

    def __init__(self, number: int, port: int) -> None:
        self.lost: list[str] = []
        self.requests = 0
        self._keeps_its_connection = number % 2 == 0
        self._path = f"/config/{number}"
        self._connections = Connections([port])

    def work(self, rounds: int) -> None:
        """So many times a write and two reads."""
        for method in ("PUT", "GET", "GET") * rounds:
            body = b"1" if method == "PUT" else None
            answer = self._connections.send(0, method, self._path, body, {"Authorization": f"Bearer {WRITER}"})
            self.requests += 1
            if answer.status not in (200, 201):
                self.lost.append(f"{method}: {answer}")
            if not self._keeps_its_connection:
                self._connections.close()

    def close(self) -> None:
        """Ends its connection."""
        self._connections.close()


@pytest.fixture
def fleet(etcd: EtcdServer, tmp_path: Path) -> Iterator[list[InstanceProcess]]:
    tokens = [
        {"name": "writer", "token": WRITER, "scopes": ["read", "write", "admin"]},
        {"name": "reader", "token": READER, "scopes": ["read"]},
    ]
    settings = {**etcd.settings("/refused"), "API_TOKENS": json.dumps(tokens)}
    with ExitStack() as stack:
        yield [stack.enter_context(InstanceProcess(tmp_path / str(number), **settings)) for number in range(2)]


def crowd(port: int) -> tuple[list[Innocent], list[Refused]]:
    """Everybody, when they have done what they came for."""
    innocent = [Innocent(number, port) for number in range(INNOCENT)]
    for each in innocent:
        each.work(1)
    refused = [Refused(number, port, REFUSALS, PROBE) for number in range(REFUSED)]
    with meanwhile(refused, pause=PAUSE), ThreadPoolExecutor(INNOCENT) as threads:
        list(threads.map(lambda each: each.work(ROUNDS), innocent))
    for each in innocent:
        each.close()
    return innocent, refused


def check(innocent: list[Innocent], refused: list[Refused]) -> None:
    """Nobody lost anything, and enough was tried."""
    assert [lost for each in innocent for lost in each.lost] == []
    assert [lost for each in refused for lost in each.lost] == []
    assert [unanswered for each in refused for unanswered in each.unanswered] == []
    assert sum(each.requests for each in innocent) >= 3_500
    assert sum(each.answered for each in refused) >= 200


@pytest.mark.timeout(300)  # seconds; fifteen, more on a busy machine
@pytest.mark.fault("malformed input of any kind")
def test_no_request_is_lost_beside_refused_bodies(fleet: list[InstanceProcess]) -> None:
    """Over connections that are kept: either the next request is answered, or the answer before it said that the
    connection ends."""
    check(*crowd(fleet[0].port))


@pytest.mark.timeout(300)  # seconds; half a minute, more on a busy machine
@pytest.mark.fault("malformed input of any kind")
def test_no_request_is_lost_beside_refused_bodies_behind_a_balancer(
    tmp_path: Path, fleet: list[InstanceProcess]
) -> None:
    """The balancer gives a client's next request a connection that another's refused body came over."""
    need_haproxy()
    port, statistics_port = itertools.islice(quiet_ports(), 2)
    with Balancer(tmp_path, port, statistics_port, [instance.port for instance in fleet]) as balancer:
        wait_for(lambda: all(balancer.sends_to(number) for number in range(2)), what="both instances are used")
        check(*crowd(port))
        assert balancer.total(*FAILURES) == dict.fromkeys(FAILURES, 0)
