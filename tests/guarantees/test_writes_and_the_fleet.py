"""Synchronous writes and outside writes, on a fleet of real processes and a real etcd (rules 12 and 13)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

pytestmark = [pytest.mark.secured(quick=True), pytest.mark.alone]

BOUND = 1.0
LEASE_TTL = 30
AUDIT = 0.5
SLACK = 1.0
"""Seconds granted to a loaded machine on top of what is promised."""


@dataclass
class Fleet:
    etcd: EtcdServer
    prefix: str
    a: InstanceProcess
    b: InstanceProcess
    c: InstanceProcess


@pytest.fixture(scope="module")
def fleet(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    settings = {
        **etcd.settings("/writes"),
        "CACHE_STALENESS_BOUND": str(BOUND),
        "CACHE_AUDIT_INTERVAL": str(AUDIT),
        "LEASE_TTL": str(LEASE_TTL),
    }
    with (
        InstanceProcess(directory / "a", **settings) as a,
        InstanceProcess(directory / "b", **settings) as b,
        InstanceProcess(directory / "c", **settings) as c,
    ):
        for instance in (a, b, c):
            instance.wait_for_slot()
        yield Fleet(etcd, "/writes", a, b, c)


def everybody_hits(fleet: Fleet, key: str) -> None:
    for instance in (fleet.a, fleet.b, fleet.c):
        assert within(5.0, lambda one=instance: one.get(key).headers["X-Cache"] == "HIT")  # type: ignore[misc]


def test_after_a_synchronous_write_nobody_serves_the_old_value(fleet: Fleet) -> None:
    fleet.a.put("k", b"0")
    for number in range(1, 11):
        everybody_hits(fleet, "k")
        value = str(number).encode()
        written = fleet.a.put("k?sync=true", value)
        assert written.headers["X-Fleet-Acks"] == "3/3"
        assert [one.get("k").content for one in (fleet.b, fleet.c, fleet.a)] == [value] * 3
    everybody_hits(fleet, "k")
    assert fleet.b.delete("k?sync=true").headers["X-Fleet-Acks"] == "3/3"
    assert [one.get("k").status_code for one in (fleet.a, fleet.c)] == [404] * 2


def test_a_paused_instance_delays_it_by_the_bound_and_serves_nothing_old_afterwards(fleet: Fleet) -> None:
    """Never by a lease: its TTL is thirty times the bound."""
    fleet.a.put("k", b"1")
    everybody_hits(fleet, "k")
    fleet.c.pause()
    started = time.monotonic()
    written = fleet.a.put("k?sync=true", b"2")
    waited = time.monotonic() - started
    fleet.c.resume()
    assert fleet.c.get("k").content == b"2"
    assert written.headers["X-Fleet-Acks"] == "2/3"
    assert BOUND <= waited < BOUND * 1.01 + SLACK


@pytest.mark.fault("outside write (etcdctl)")
@pytest.mark.parametrize("command", ["put", "del"])
def test_what_etcdctl_does_is_seen_by_the_whole_fleet_within_the_audit_interval(fleet: Fleet, command: str) -> None:
    fleet.a.put("outside", b"1")
    everybody_hits(fleet, "outside")
    key = f"{fleet.prefix}/config/outside"
    fleet.etcd.etcdctl(*(("put", key, "2") if command == "put" else ("del", key)))
    expected = (200, b"2") if command == "put" else (404, None)

    def seen(instance: InstanceProcess) -> bool:
        read = instance.get("outside")
        return (read.status_code, read.content if read.ok else None) == expected

    for instance in (fleet.a, fleet.b, fleet.c):
        assert within(AUDIT + BOUND + SLACK, lambda one=instance: seen(one))  # type: ignore[misc]
    metrics = fleet.a.request("GET", "/metrics").text + fleet.b.request("GET", "/metrics").text
    metrics += fleet.c.request("GET", "/metrics").text
    assert any(
        line.startswith("config_audit_documents_total ") and float(line.split()[1]) > 0 for line in metrics.splitlines()
    )
