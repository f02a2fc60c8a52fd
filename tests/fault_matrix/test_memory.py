"""An instance in 256 MB, and strangers who make it hold as much as they can: no kill, and others are served.

The kernel counts, in a control group of its own for each instance; etcd is outside.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

import pytest

from service.memory.capacity import capacity
from service.settings.model import Settings
from tests.fault_matrix.attacks import ATTACKS
from tests.fault_matrix.scene import membership, warm
from tests.support.etcd import EtcdServer, dying_with_us
from tests.support.instances import PROJECT, InstanceProcess, environment, within
from tests.support.memory_group import USABLE, MemoryGroup

MEGABYTE = 1024 * 1024
LIMIT = 256 * MEGABYTE
ROUNDS, REQUESTS = 5, 150
TIMES = 3
UNNOTICED = 0.010
"""Seconds: two turns of the interpreter. A p99 below it says more about the machine than about the instance."""

BACK_WITHIN = 20.0
KEPT = 32 * MEGABYTE
"""What threads that were never busy at once before may keep for good, beside the cache."""

CONNECTIONS = {"bombs": 32, "listing": 250, "keys": 100}
"""Of an attack; 1,000 of the others."""

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not USABLE, reason="needs root, and a Linux that counts memory by control groups"),
]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


class Small(NamedTuple):
    """An instance in its control group, and the bytes it used before anybody came."""

    instance: InstanceProcess
    group: MemoryGroup
    idle: int


@pytest.fixture(scope="module")
def small(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """One for all attacks: what one of them leaves behind, the next one finds."""
    settings = {"LEASE_TTL": "60", "ETCD_TIMEOUT": "10", "LOG_LEVEL": "ERROR"}
    instance = InstanceProcess(tmp_path_factory.mktemp("instance"), ETCD_ENDPOINTS=etcd.endpoint, **settings)
    with MemoryGroup(LIMIT) as group:
        instance.around = group.around
        with instance:
            instance.wait_for_slot()
            warm(instance)
            idle = group.used
            fill(instance)
            yield Small(instance, group, idle)


def fill(instance: InstanceProcess) -> None:
    """A document and a listing that are as large as they can be."""
    assert instance.put("large", b'"' + b"x" * (MEGABYTE - 2) + b'"').ok
    for first in range(0, 1000, 100):
        names = [f"listed/{'x' * 400}/{number}" for number in range(first, first + 100)]
        operations = [{"op": "put", "key": name, "value": 1} for name in names]
        assert instance.request("POST", "/config/", json={"operations": operations}).ok


@contextlib.contextmanager
def attacked(instance: InstanceProcess, attack: str) -> Iterator[list[str]]:
    """While inside; how the attackers were answered is told afterwards."""
    told: list[str] = []
    command = [sys.executable, "-m", "tests.fault_matrix.attacks", attack, str(instance.port)]
    with subprocess.Popen(
        dying_with_us([*command, str(CONNECTIONS.get(attack, 1000))]),
        cwd=PROJECT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as attackers:
        assert attackers.stdin is not None
        assert attackers.stdout is not None
        assert attackers.stdout.readline() == "begun\n"
        try:
            yield told
        finally:
            attackers.stdin.close()
            told.append(attackers.stdout.read())


class Customer:
    """Somebody well-behaved, connected before the attack; insists on 200."""

    def __init__(self, instance: InstanceProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", instance.port), 30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def p99(self) -> float:
        """Seconds: the median of several rounds, so that one pause of the machine does not decide."""
        return statistics.median(self._round() for _ in range(ROUNDS))

    def _round(self) -> float:
        taken = []
        for _ in range(REQUESTS):
            asked = time.perf_counter()
            self._socket.sendall(b"GET /config/k HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = self._socket.recv(4096)
            taken.append(time.perf_counter() - asked)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            time.sleep(0.002)
        return statistics.quantiles(taken, n=100)[98]


@pytest.mark.fault("hostile documents, slow readers, slow bodies, big headers in 256 MB")
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_in_256_mb_kills_nothing_and_others_are_served(small: Small, attack: str) -> None:
    """Its p99 stays within three times what it was just before; the memory is back within 20 s after the attack."""
    instance, group, idle = small
    before = membership(instance)
    with Customer(instance) as customer:
        usual = max(customer.p99(), UNNOTICED)
        with attacked(instance, attack) as told:
            time.sleep(1.0)  # the attack is under way, whatever it is
            during = customer.p99()
            most = group.used // MEGABYTE
    assert (group.kills, instance.process.poll()) == (0, None), (most, told)
    assert during < TIMES * usual, (during, usual, most, told)
    allowed = idle + capacity(LIMIT, Settings(), embedded=False).cache + KEPT
    assert within(BACK_WITHIN, lambda: group.used < allowed), (group.used // MEGABYTE, idle // MEGABYTE, most, told)
    assert instance.answers(200, "/healthz")
    assert instance.put("k", b"1").ok
    assert membership(instance) == before
