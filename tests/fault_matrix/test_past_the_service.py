"""Somebody handles etcd past the service: restores a backup, writes documents, gives a slot away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault_matrix.scene import (
    AMPLE,
    BOUND,
    LINEARIZABLE,
    PREFIX,
    SLACK,
    UNCACHED,
    always,
    is_back,
    is_hit,
    members_in,
    membership,
    running,
    warm,
)
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.meanwhile import meanwhile

pytestmark = pytest.mark.lasting

AUDIT = 0.5
TTL = 4
SLOTS = 64
FREED = 7


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    with EtcdServer(tmp_path / "etcd", durable=True) as server:
        yield server


@pytest.mark.fault("older snapshot restored")
def test_older_snapshot_restored(etcd: EtcdServer, tmp_path: Path) -> None:
    """Under a lease that would have lived on: the slot is left because its history is lost, and another one taken."""
    with running(tmp_path / "instance", etcd.endpoint, LEASE_TTL="60") as instance:
        warm(instance)
        snapshot = etcd.save_snapshot(tmp_path / "snapshot.db")
        for _ in range(20):  # more revisions than the restored history needs until it is asked
            lost = instance.put("k", b"2").headers["X-Config-Revision"]
        before = membership(instance)
        etcd.restore_snapshot(snapshot)
        assert within(3.0 + SLACK, lambda: membership(instance) not in (before, None))
        is_back(instance, 1.0)
        assert instance.answers(200, "/healthz")
        assert {instance.get("k", params=how).content for how in ({}, UNCACHED, LINEARIZABLE)} == {b"1"}
        assert instance.get("k", params={"min_revision": lost}).status_code == 410
        assert instance.wait_for_slot() in members_in(etcd)
        assert instance.put("k", b"3").ok
        assert {instance.get("k", params=how).content for how in (UNCACHED, LINEARIZABLE)} == {b"3"}


@pytest.mark.fault("outside write (etcdctl)")
def test_outside_write(etcd: EtcdServer, tmp_path: Path) -> None:
    """Memory can't know before somebody looks; that does not take longer than promised, for a deletion either."""
    document = f"{PREFIX}/config/k"
    settings = {"LEASE_TTL": "60", "CACHE_AUDIT_INTERVAL": str(AUDIT), "ETCD_TIMEOUT": AMPLE}
    with running(tmp_path / "instance", etcd.endpoint, **settings) as instance:
        warm(instance)
        warm(instance, "other")
        before = membership(instance)
        with meanwhile([always(instance, "/config/other", "/readyz", "/healthz")], pause=0.02):
            for command, status, value in ((("put", document, "2"), 200, b"2"), (("del", document), 404, None)):
                etcd.etcdctl(*command)
                done = time.monotonic()
                assert shows(instance, status, value, UNCACHED)
                for how in ({}, LINEARIZABLE):
                    while not shows(instance, status, value, how):
                        assert time.monotonic() < done + AUDIT + BOUND + SLACK, (command, how)
        assert instance.put("k", b"3").status_code == 201
        assert within(3.0 + SLACK, lambda: is_hit(instance))
        assert shows(instance, 200, b"3", {})
        assert membership(instance) == before


def shows(instance: InstanceProcess, status: int, value: bytes | None, how: dict[str, str]) -> bool:
    """Whether a read is answered so; `value` None: whatever the document says."""
    answer = instance.get("k", params=how)
    return answer.status_code == status and value in (answer.content, None)


@pytest.mark.fault("member key deleted or lease revoked by hand")
def test_a_slot_given_away_by_hand(etcd: EtcdServer, tmp_path: Path) -> None:
    """With no other to be had: not one hit after B, though the lease lives and the watch is up; then another slot."""
    settings = {"LEASE_TTL": str(TTL), "CACHE_AUDIT_INTERVAL": "60", "ETCD_TIMEOUT": AMPLE}
    with running(tmp_path / "instance", etcd.endpoint, **settings) as instance:
        warm(instance)
        slot = instance.wait_for_slot()
        with meanwhile([always(instance, "/config/k", "/config/k?use_cache=false", "/readyz", "/healthz")], pause=0.02):
            occupy(etcd, *(each for each in range(SLOTS) if each != slot))
            occupy(etcd, slot)
            given_away = time.monotonic()
            while time.monotonic() < given_away + TTL + BOUND:
                asked = time.monotonic()
                assert not is_hit(instance) or asked < given_away + BOUND
            assert instance.request("GET", "/readyz").json()["member"] is False
            assert instance.put("k", b"2").ok
            etcd.etcdctl("del", f"{PREFIX}/members/{FREED:02}")
            assert within(2 * TTL + SLACK, lambda: is_hit(instance))
        assert instance.wait_for_slot() == FREED
        assert instance.get("k").content == b"2"


def occupy(etcd: EtcdServer, *slots: int) -> None:
    """Puts member keys that belong to nobody in the fleet, in one transaction, on a lease as members have one."""
    lease = etcd.etcdctl("lease", "grant", "600").split()[1]
    puts = "\n".join(f'put --lease={lease} {PREFIX}/members/{slot:02} "{{}}"' for slot in slots)
    etcd.etcdctl("txn", stdin=f"\n{puts}\n\n\n")
