"""Too many clients, too slow ones, and such as speak nonsense: the others are served, and nothing is lost or leaks."""

from __future__ import annotations

import itertools
import random
import resource
import select
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest

from service.memory.capacity import MOST_CONNECTIONS
from tests.fault_matrix.scene import always, is_hit, membership, metric, running, times_written, warm
from tests.http.test_on_the_wire import ask, request
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile
from torture.client import Connections

pytestmark = pytest.mark.alone

SLOW = 1_000
MANY = MOST_CONNECTIONS
SPARE_FILES = 500
"""Descriptors that tests and service need for everything else."""

MEGABYTE = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)  # closing leaves no trace among the ports


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def instance(etcd: EtcdServer, tmp_path: Path) -> Iterator[InstanceProcess]:
    with running(tmp_path, etcd.endpoint, LEASE_TTL="60", CACHE_STALENESS_BOUND="2", ETCD_TIMEOUT="10") as instance:
        warm(instance)
        yield instance


class Client:
    """One connection; says what it is told to, and reads one status."""

    def __init__(self, instance: InstanceProcess, data: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", instance.port), 30.0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.send(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """A server that has refused may have closed."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def nudge(self, seconds: float) -> None:
        """Half closes, unless an answer begins within so much time: a server that waits for more is told to stop.

        Not at once, since a client that half closes is not owed an answer.
        """
        if not select.select([self._socket], [], [], seconds)[0]:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def status(self) -> int:
        """Of the next answer; 0 when the connection was closed without one."""
        try:
            first = self._socket.recv(4096).split(b" ", 2)
        except ConnectionError:
            return 0
        return int(first[1]) if len(first) > 1 else 0


@pytest.mark.fault("1,000 slow clients")
def test_1000_slow_clients(etcd: EtcdServer, instance: InstanceProcess) -> None:
    """Half of them send their headers drop by drop, half their bodies; all the while everybody else is answered.

    Counted, not timed: who was in the way of others would be for seconds. Nobody holds a thread: all are served.
    """
    before, writes = membership(instance), times_written(etcd, "k")
    others = ("/config/k", "/config/k?use_cache=false", "/config/k?consistency=linearizable", "/readyz", "/healthz")
    with ExitStack() as stack:
        clients = [stack.enter_context(Client(instance, _head(number))) for number in range(SLOW)]
        with meanwhile([always(instance, path) for path in others], pause=0.02):
            for half in (slice(0, None, 2), slice(1, None, 2)):
                for client in clients[half]:
                    client.send(b"1")
            assert membership(instance) == before
        for client in clients:
            client.send(b"]")
        for client in clients[::2]:
            client.send(b"\r\nContent-Length: 3\r\n\r\n[1]")
        answers = [client.status() for client in clients]
    written = [number for number, answer in enumerate(answers) if answer == 201]
    assert set(answers) == {201}
    for number in (*written[:20], *written[-20:]):
        assert instance.get(f"slow/{number}", params={"use_cache": "false"}).content == b"[1]"
    listed = instance.get("", params={"prefix": "slow/", "limit": str(SLOW)}).json()["keys"]
    assert len(listed) == len(written)
    assert times_written(etcd, "k") == writes


def _head(number: int) -> bytes:
    """A PUT that has only begun: every other one in the middle of a header, the rest in the middle of their bodies."""
    head = b"PUT /config/slow/%d HTTP/1.1\r\nHost: localhost\r\n" % number
    return head + (b"X: [" if number % 2 == 0 else b"Content-Length: 3\r\n\r\n[")


@pytest.mark.fault("10,000 connections")
def test_10000_connections(instance: InstanceProcess) -> None:
    """Each asks, is answered, and stays. Then more come than there may be: they wait, and cost no descriptor."""
    before, memory = membership(instance), metric(instance, "process_resident_memory_bytes")
    most = metric(instance, "process_max_fds")
    many = min(MANY, int(_files_allowed()) - SPARE_FILES)
    with ExitStack() as stack:
        clients: list[Client] = []
        for _ in range(0, many - 100, 100):
            some = [stack.enter_context(Client(instance, request("GET", b"/config/k"))) for _ in range(100)]
            assert {client.status() for client in some} == {200}
            clients += some
        for path in ("/healthz", "/readyz", "/config/k", "/config/k?use_cache=false"):
            assert instance.answers(200, path)
        assert instance.put("many", b"1").ok
        assert metric(instance, "process_open_fds") < most
        assert metric(instance, "process_resident_memory_bytes") < memory + 150 * MEGABYTE
        late = [stack.enter_context(Client(instance, request("GET", b"/config/k"))) for _ in range(200)]
        for client in clients:
            client.__exit__()
        assert {client.status() for client in late} == {200}
    assert within(10.0, lambda: metric(instance, "process_open_fds") < SPARE_FILES)
    assert is_hit(instance)
    assert membership(instance) == before


@pytest.mark.fault("1,000 slow clients")
def test_headers_that_never_end(instance: InstanceProcess) -> None:
    """They are cut at 16 kB, and so cost no memory, however many send them; a header of 8 kB is none of these."""
    memory = metric(instance, "process_resident_memory_bytes")
    with ExitStack() as stack:
        for number in range(2 * SLOW):
            begun = b"GET /config/%d HTTP/1.1\r\nHost: localhost\r\nX: " % number
            stack.enter_context(Client(instance, begun + b"x" * 250 * 1024))
        assert instance.answers(200, "/config/k")
        assert metric(instance, "process_resident_memory_bytes") < memory + 100 * MEGABYTE
    assert within(10.0, lambda: metric(instance, "process_open_fds") < SPARE_FILES)
    assert ask(instance, request("GET", b"/config/k", b"X: " + b"x" * 64 * 1024)).status == 431
    assert ask(instance, request("GET", b"/config/k", b"X: " + b"x" * 8 * 1024)).status == 200


@pytest.mark.fault("flood of misses")
def test_a_flood_of_misses(etcd: EtcdServer, tmp_path: Path) -> None:
    """Keys that nobody has, each asked for once: memory stays bounded, and what is in use stays in it."""
    flooding, each, most = 8, 600, 500
    numbers = itertools.count()
    with running(tmp_path, etcd.endpoint, LEASE_TTL="60", CACHE_MAX_ENTRIES=str(most), ETCD_TIMEOUT="10") as instance:
        warm(instance)
        memory, misses = metric(instance, "process_resident_memory_bytes"), misses_of(instance)

        def flood(_: int) -> None:
            connections = Connections([instance.port])
            paths = (f"/config/nobody/{next(numbers)}" for _ in range(each))
            assert {connections.send(0, "GET", path, None, {}).status for path in paths} == {404}
            connections.close()

        with ThreadPoolExecutor(flooding) as threads, meanwhile([always(instance, "/config/k")], pause=0.005):
            list(threads.map(flood, range(flooding)))
        assert next(numbers) == flooding * each
        assert metric(instance, "config_cache_entries") <= most
        assert metric(instance, "process_resident_memory_bytes") < memory + 50 * MEGABYTE
        # Evicted in the order of arrival, it would have been loaded again nine times: whenever 500 others had come.
        assert misses_of(instance) - misses - flooding * each <= 3, (
            "what is read again and again is not what is evicted"
        )
        assert is_hit(instance)


def misses_of(instance: InstanceProcess) -> float:
    """Reads for which it has asked etcd for the value."""
    return metric(instance, "config_cache_reads_total", source="miss")


def _files_allowed() -> int:
    """How many descriptors this process may have, once it has raised its limit as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MANY + 2 * SPARE_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY + 2 * SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /config/k\r\n\r\n",
    b"GET  /config/k HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /config/k HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"\0" * 1000,
    b"PUT /config/n HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n1",
    b"PUT /config/n HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n X: y\r\n\r\n1",
    b"PUT /config/n HTTP/1.1\r\nHost : h\r\nContent-Length: 1\r\n\r\n1",
    request("PUT", b"/config/n", body=b"NaN"),
    request("PUT", b"/config/n", body=b"\xff\xfe"),
    request("PUT", b"/config/n", body=b""),
    request("PUT", b"/config/n", b"If-Match: what", body=b"1"),
    request("PUT", b"/config/n?sync=perhaps", body=b"1"),
    request("PUT", b"/config/n", b"Content-Encoding: gzip", body=b"1"),
    request("PATCH", b"/config/n", body=b"1"),
    request("BREW", b"/config/n", body=b"1"),
    request("POST", b"/config/", body=b'{"operations": [{"op": "put", "key": "../n", "value": 1}]}'),
    request("POST", b"/config/", body=b'{"operations": 1}'),
    request("GET", b"/config/k?use_cache=maybe"),
    request("GET", b"/config/k?revision=-1"),
    request("GET", b"/config/k?min_revision=" + b"9" * 400),
    request("GET", b"/config/?limit=x"),
    request("GET", b"/metrics/../config/k"),
    request("GET", b"/config//k"),
    request("PUT", b"//config/n", body=b"1"),
    request("GET", b"/config/k" + b"%" * 50),
)


@pytest.mark.fault("malformed input of any kind")
def test_malformed_input_of_any_kind(instance: InstanceProcess) -> None:
    """Never 500, never a redirect, and nothing is written but what is answered as written."""
    before, writes = membership(instance), versions(instance)
    for data in NONSENSE:
        status = _ask_and_hang_up(instance, data)
        assert status in (0, *range(400, 500), 505), (status, data)
    assert versions(instance) == writes
    answers = []
    for data in _mutations(request("PUT", b"/config/mutated?sync=false", b'If-Match: "1"', body=b'{"a": [1, 2]}'), 200):
        answers.append(status := _ask_and_hang_up(instance, data))
        assert status in (0, 200, 201, 204, *range(400, 500), 505), (status, data)
    done = sum(answer in (200, 201) for answer in answers)
    assert done <= versions(instance) - writes <= done + answers.count(0)
    for path in ("/healthz", "/readyz", "/config/k"):
        assert ask(instance, request("GET", path.encode())).status == 200
    assert membership(instance) == before


def versions(instance: InstanceProcess) -> int:
    """The revision at which a linearizable read of nothing holds: it grows by one with each write."""
    return int(instance.get("not-there", params={"use_cache": "false"}).headers["X-Config-Revision"])


def _mutations(data: bytes, count: int) -> Iterator[bytes]:
    """The request with one to four bytes exchanged, left out or doubled; the same ones at every run."""
    chance = random.Random(1)
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(mutant))
            mutant[place : place + 1] = chance.choice(
                (b"", bytes([chance.randrange(256)]), mutant[place : place + 1] * 2, b"\r\n", b'"', b"%")
            )
        yield bytes(mutant)


def _ask_and_hang_up(instance: InstanceProcess, data: bytes) -> int:
    with Client(instance, data) as client:
        client.nudge(0.1)
        return client.status()
