"""Slots, leases and clusters on a real etcd: what the fake store can only pretend."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consistency import CacheOptions, DistributedCache, OutcomeUnknown, Source
from consistency.core.events import Left, WatchEnded
from consistency.core.model import SLOTS
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.instance.fleet import Journal, await_status
from tests.support.driver import run_beside
from tests.support.etcd import EtcdCluster, EtcdServer
from tests.support.instances import InstanceProcess

pytestmark = [pytest.mark.secured, pytest.mark.lasting]

OPTIONS = CacheOptions(staleness_bound=1.0, timeout=3.0, lease_ttl=5)


@contextlib.contextmanager
def instance(
    config: EtcdConfig, options: CacheOptions = OPTIONS, journal: Journal | None = None
) -> Iterator[DistributedCache]:
    """An instance in this process, with its own connections."""
    journal = journal or Journal()
    store = EtcdStore(config, observer=journal)
    cache = DistributedCache(store, options, observer=journal)
    cache.start()
    try:
        yield cache
    finally:
        cache.close()


def wait_until_fresh(cache: DistributedCache) -> None:
    await_status(cache, lambda status: status.fresh and status.watch_up)


def occupy(etcd: EtcdServer, prefix: str, slots: range) -> EtcdStore:
    """Claims slots by leases that outlive the test; for the store that holds them."""
    store = EtcdStore(etcd.config(prefix))
    lease = run_beside(store.grant(600, timeout=5))
    for slot in slots:
        assert run_beside(store.claim(slot, lease.id, "{}", timeout=5))
    return store


@pytest.mark.fault("65th instance")
def test_the_slot_of_a_crashed_instance_is_taken_again(etcd: EtcdServer, prefix: str, tmp_path: Path) -> None:
    """Rule 9: 63 slots are held, a process takes the last and is killed; the 65th takes its place, no earlier."""
    others = occupy(etcd, prefix, range(SLOTS - 1))
    settings = {**etcd.settings(prefix), "LEASE_TTL": "2"}
    with InstanceProcess(tmp_path / "last", **settings) as last:
        assert last.wait_for_slot() == SLOTS - 1
        with instance(etcd.config(prefix), dataclasses.replace(OPTIONS, lease_ttl=2)) as late:
            late.put("k", b"1")
            assert [late.get("k").source for _ in range(3)] == [Source.BYPASS] * 3
            status = await_status(late, lambda status: status.why_not_ready == "")
            assert (status.slot, len(status.members)) == (None, SLOTS)
            last.kill()
            await_status(late, lambda status: status.slot == SLOTS - 1)
            wait_until_fresh(late)
            assert [late.get("k").source for _ in range(2)] == [Source.MISS, Source.HIT]
    run_beside(others.close())


@pytest.mark.fault("member key deleted or lease revoked by hand")
def test_a_revoked_lease_ends_the_hits_at_once_and_the_instance_recovers(etcd: EtcdServer, prefix: str) -> None:
    """Rule 9, by `etcdctl lease revoke`."""
    journal = Journal()
    with instance(etcd.config(prefix), journal=journal) as cache:
        wait_until_fresh(cache)
        cache.put("k", b"1")
        cache.get("k")
        assert cache.get("k").source is Source.HIT
        (member,) = await_status(cache, lambda status: bool(status.members)).members
        etcd.etcdctl("lease", "revoke", f"{member.lease:x}")
        journal.await_event(lambda event: event == Left(member.slot or 0, "expired"))
        await_status(cache, lambda status: status.slot is not None and status.fresh)
        assert cache.get("k").value == b"1"


@pytest.mark.fault("member key deleted or lease revoked by hand")
def test_a_deleted_member_key_is_noticed_though_the_lease_lives(etcd: EtcdServer, prefix: str) -> None:
    journal = Journal()
    with instance(etcd.config(prefix), journal=journal) as cache:
        wait_until_fresh(cache)
        etcd.etcdctl("del", "--prefix", f"{prefix}/members/")
        journal.await_event(lambda event: isinstance(event, Left))
        await_status(cache, lambda status: status.slot is not None and status.fresh)


def test_a_deleted_version_key_costs_no_stale_read(etcd: EtcdServer, prefix: str) -> None:
    """Rule 6, by `etcdctl del`."""
    journal = Journal()
    with instance(etcd.config(prefix), journal=journal) as one, instance(etcd.config(prefix)) as two:
        wait_until_fresh(one)
        wait_until_fresh(two)
        two.put("k", b"1")
        one.get("k")
        etcd.etcdctl("del", f"{prefix}/version")
        journal.await_event(lambda event: isinstance(event, WatchEnded))
        two.put("k", b"2")
        written = time.monotonic()
        while one.get("k").value != b"2":
            assert time.monotonic() < written + OPTIONS.staleness_bound
        wait_until_fresh(one)
        assert one.get("k").value == b"2"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path / "cluster", durable=True) as cluster:
        yield cluster


@pytest.mark.fault("one of three nodes killed")
def test_any_member_of_a_cluster_may_die_and_reads_and_writes_go_on(cluster: EtcdCluster, prefix: str) -> None:
    """Fault matrix, one of three nodes killed: no gap for default reads, no failed read; a write in flight may be
    unknown, never wrong. If it was the leader, everybody waits for an election: that takes etcd one to two seconds."""
    with instance(EtcdConfig(cluster.endpoints, prefix), dataclasses.replace(OPTIONS, timeout=10.0)) as cache:
        wait_until_fresh(cache)
        number = 0
        cache.put("k", b"0")
        for server in cluster.servers:
            server.kill()
            for _ in range(30):
                number += 1
                with contextlib.suppress(OutcomeUnknown):
                    cache.put("k", str(number).encode())
                linear = cache.get("k", use_cache=False)
                assert linear.value is not None
                assert int(linear.value) >= number - 1
                assert cache.get("k", min_revision=linear.revision).value == linear.value
            cache.put("k", b"0")
            assert cache.get("k", use_cache=False).value == b"0"
            server.restart()
            wait_until_fresh(cache)
            number = 0


def test_a_paused_member_is_left_for_another(cluster: EtcdCluster, prefix: str) -> None:
    """Nothing is refused, nothing answers: the deadline is divided, and one endpoint does not eat it all."""
    with instance(EtcdConfig(cluster.endpoints, prefix), dataclasses.replace(OPTIONS, timeout=10.0)) as cache:
        wait_until_fresh(cache)
        cache.put("k", b"1")
        for server in cluster.servers:
            server.pause()
            assert cache.get("k", use_cache=False).value == b"1"
            server.resume()
            wait_until_fresh(cache)
