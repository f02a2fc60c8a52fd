"""A fleet behind etcd's own gRPC proxy, which shares its streams and renews its leases; the store's whole contract is
kept through one in tests/etcd/test_store_contract.py."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from consistency import DistributedCache, Source
from consistency.core.events import Left, WatchEnded
from consistency.core.store import OutcomeUnknown
from consistency.etcd.config import EtcdConfig
from tests.guarantees.test_fleet_on_real_etcd import OPTIONS, instance, wait_until_fresh
from tests.instance.fleet import Journal, await_status
from tests.support.etcd import EtcdServer, wait_for
from tests.support.grpc_proxy import GrpcProxy

pytestmark = pytest.mark.lasting

TTL = 2
BRIEF = dataclasses.replace(OPTIONS, lease_ttl=TTL)
PREFIX = "/behind"


@pytest.fixture(params=["", "etcd_recent"], ids=["usual", "recent"])
def etcd_behind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdServer]:
    program = request.getfixturevalue(request.param) if request.param else None
    with EtcdServer(tmp_path / "etcd", durable=True, program=program) as server:
        yield server


@pytest.fixture
def proxy(etcd_behind: EtcdServer, tmp_path: Path) -> Iterator[GrpcProxy]:
    with GrpcProxy(etcd_behind, tmp_path / "proxy") as proxy:
        yield proxy


def pair(stack: ExitStack, config: EtcdConfig, journal: Journal) -> tuple[DistributedCache, DistributedCache]:
    """Two instances that are members, and know of each other."""
    made = [stack.enter_context(instance(config, BRIEF, journal)) for _ in range(2)]
    for each in made:
        wait_until_fresh(each)
        await_status(each, lambda status: len(status.members) == 2)
    return made[0], made[1]


def test_a_fleet_joins_caches_and_stays_joined_longer_than_its_leases(proxy: GrpcProxy) -> None:
    """Half-closed, either stream would end there: the events, or the renewals."""
    journal = Journal()
    with ExitStack() as stack:
        one, other = pair(stack, proxy.config(PREFIX), journal)
        leases = [each.status().lease for each in (one, other)]
        end, written = time.monotonic() + 3 * TTL, 0
        while time.monotonic() < end:
            written += 1
            acks = one.put("k", b"%d" % written, sync=True).acks
            assert acks == (2, 2)
            assert other.get("k").value == b"%d" % written
            assert other.get("k").source is Source.HIT
        assert [each.status().lease for each in (one, other)] == leases
        assert journal.all(Left) == []
        assert journal.all(WatchEnded) == []


def test_a_fleet_goes_on_when_the_etcd_behind_the_proxy_has_been_away(
    etcd_behind: EtcdServer, proxy: GrpcProxy
) -> None:
    """The proxy stays, and so does the connection to it; nothing that was written meanwhile is missed."""
    with ExitStack() as stack:
        one, other = pair(stack, proxy.config(PREFIX), Journal())
        one.put("k", b"before")
        assert other.get("k").value == b"before"
        etcd_behind.kill()
        await_status(other, lambda status: not status.fresh)
        etcd_behind.launch()
        assert etcd_behind.wait_until_ready()
        for each in (one, other):
            wait_until_fresh(each)
        one.put("k", b"after", sync=True)
        assert other.get("k").value == b"after"
        other.get("k")
        assert other.get("k").source is Source.HIT


def test_of_two_proxies_one_may_die(etcd_behind: EtcdServer, proxy: GrpcProxy, tmp_path: Path) -> None:
    with ExitStack() as stack:
        second = stack.enter_context(GrpcProxy(etcd_behind, tmp_path / "second"))
        both = dataclasses.replace(proxy.config(PREFIX), endpoints=(proxy.endpoint, second.endpoint))
        one, other = pair(stack, both, Journal())
        proxy.kill()
        with suppress(OutcomeUnknown):  # the channel may not know yet
            one.put("k", b"at once")
        for number in range(5):
            one.put("k", b"%d" % number)
            assert other.get("k", use_cache=False).value == b"%d" % number
        for each in (one, other):
            wait_until_fresh(each)
        one.put("k", b"last", sync=True)
        wait_for(lambda: other.get("k").source is Source.HIT, what="the fleet caches again")
