"""Rule 12: when a synchronous write returns, no instance will serve the old value any more."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest

from consistency import DistributedCache
from consistency.core.acks import RollCall
from consistency.core.events import Acknowledged
from consistency.core.store import Delete, Put
from tests.instance.fleet import QUICK, Background, Journal, await_status, started
from tests.support.driver import run
from tests.support.fake_store import FakeStore

B = QUICK.staleness_bound
LONG = dataclasses.replace(QUICK, staleness_bound=30.0)
"""A bound that no test waits out: what returns, returned for its acknowledgements."""


class TestRollCall:
    """Pure: the time is a number."""

    @pytest.fixture
    def roll(self) -> RollCall:
        """Has watched for longer than the bound."""
        roll = RollCall(bound=1.0)
        roll.stream_began(now=0.0)
        return roll

    def test_all_have_to_acknowledge_this_revision_or_a_later_one(self, roll: RollCall) -> None:
        roll.acknowledged(0, 7)
        roll.acknowledged(1, 6)
        assert not roll.complete(7, (0, 1), now=5.0)
        roll.acknowledged(1, 9)
        assert roll.complete(7, (0, 1), now=5.0)
        assert roll.count(8, (0, 1)) == 1

    def test_an_older_acknowledgement_takes_nothing_back(self, roll: RollCall) -> None:
        roll.acknowledged(0, 7)
        roll.acknowledged(0, 5)
        assert roll.complete(7, (0,), now=5.0)

    def test_a_departure_younger_than_the_bound_is_waited_out(self, roll: RollCall) -> None:
        roll.left(now=5.0)
        roll.acknowledged(0, 7)
        assert not roll.complete(7, (0,), now=5.9)
        assert roll.complete(7, (0,), now=6.0)

    def test_a_stream_younger_than_the_bound_may_have_missed_a_departure(self) -> None:
        roll = RollCall(bound=1.0)
        roll.stream_began(now=5.0)
        roll.acknowledged(0, 7)
        assert not roll.complete(7, (0,), now=5.9)
        assert roll.complete(7, (0,), now=6.0)

    def test_without_a_stream_nobody_knows_who_has_left(self, roll: RollCall) -> None:
        roll.acknowledged(0, 7)
        roll.stream_ended()
        assert not roll.complete(7, (0,), now=1000.0)

    def test_a_fleet_without_members_acknowledges_nothing(self, roll: RollCall) -> None:
        """No acknowledgement has been seen, so no departure before it either."""
        assert not roll.complete(7, (), now=5.0)

    def test_another_history_begins_with_nothing_acknowledged(self, roll: RollCall) -> None:
        roll.acknowledged(0, 7)
        roll.forget()
        assert not roll.complete(1, (0,), now=5.0)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def fleet(store: FakeStore) -> Iterator[tuple[DistributedCache, DistributedCache]]:
    """Two instances whose streams are older than the bound, though little time has passed."""
    with started(store, LONG) as one, started(store, LONG) as two:
        for cache in (one, two):
            await_status(cache, lambda status: len(status.members) == 2)
            cache._cache._fleet._roll._blind_until = 0.0
        yield one, two


def test_it_returns_when_all_have_acknowledged(fleet: tuple[DistributedCache, DistributedCache]) -> None:
    one, two = fleet
    two.get("k")
    assert one.put("k", b"1", sync=True).acks == (2, 2)
    assert two.get("k").value == b"1", "not the absence that it had in memory"
    assert one.delete("k", sync=True).acks == (2, 2)
    assert two.get("k").value is None


def test_an_acknowledgement_without_a_lease_is_nobodys_word(
    store: FakeStore, fleet: tuple[DistributedCache, DistributedCache]
) -> None:
    """1. somebody writes by hand that the other has applied everything; 2. it has not; 3. the write waits for it."""
    one, two = fleet
    one.put("k", b"0", sync=True)
    two.get("k")
    store.put_raw(store.layout.ack(1), b"999999")
    store.settle_watch()
    gate = store.hold("acknowledge")
    again = store.hold("acknowledge")
    writing = Background(lambda: one.put("k", b"1", sync=True))
    gate.wait_until_held()
    again.wait_until_held()
    assert one._cache._fleet._roll.count(store.revision + 1, (0, 1)) == 0
    gate.release()
    again.release()
    assert writing.result().acks == (2, 2)


def test_an_instance_acknowledges_only_what_it_has_applied(
    store: FakeStore, fleet: tuple[DistributedCache, DistributedCache]
) -> None:
    """1. the event is on its way; 2. nobody has acknowledged it; 3. it arrives; 4. the write returns."""
    one, two = fleet
    one.put("k", b"0", sync=True)
    two.get("k")
    store.pause_watch()
    writing = Background(lambda: one.put("k", b"1", sync=True))
    await_commit(store, b"1")
    assert store.calls["acknowledge"] == 2, "of the write before"
    assert writing.running
    store.resume_watch()
    assert writing.result().acks == (2, 2)
    assert two.get("k").value == b"1"


def await_commit(store: FakeStore, value: bytes) -> None:
    """Until the store holds `value` under k."""
    pause = threading.Event()
    for _ in range(2000):
        if store.document("k") == value:
            return
        pause.wait(0.005)
    raise AssertionError("the write did not come")


def test_a_write_that_is_not_synchronous_asks_nobody(
    store: FakeStore, fleet: tuple[DistributedCache, DistributedCache]
) -> None:
    one, _ = fleet
    assert one.put("k", b"1").acks is None
    assert one.put("k", b"2", sync=True).acks == (2, 2)
    assert store.calls["acknowledge"] == 2


def test_a_hung_instance_delays_it_by_the_bound_and_no_more(store: FakeStore) -> None:
    """One member never acknowledges: by then its last proof has run out."""
    journal = Journal()
    lease = run(store.grant(600, timeout=1))
    with started(store, journal=journal) as cache:
        assert run(store.claim(7, lease.id, "{}", timeout=1))
        before = cache._cache._clock()
        assert cache.put("k", b"1", sync=True).acks == (1, 2)
        waited = cache._cache._clock() - before
        assert waited >= B * 1.01
        assert journal.all(Acknowledged) == [Acknowledged(1, 2, complete=False)]


def test_without_any_member_the_bound_is_waited_out(store: FakeStore) -> None:
    """An instance that is no member any more may still serve by its last proof."""
    cache = DistributedCache(store, QUICK)
    before = cache._cache._clock()
    assert cache.put("k", b"1", sync=True).acks == (0, 0)
    assert cache._cache._clock() - before >= B * 1.01
    assert cache.delete("none", sync=True).acks == (0, 0)
    assert cache._cache._clock() - before >= 2 * B * 1.01


def test_a_batch_is_acknowledged_as_a_whole(fleet: tuple[DistributedCache, DistributedCache]) -> None:
    one, two = fleet
    applied = one.apply((Put("a", b"1"), Put("b", b"2"), Delete("c")), sync=True)
    assert applied.acks == (2, 2)
    assert applied.existed == (False, False, False)
    assert [two.get(key).value for key in "abc"] == [b"1", b"2", None]
