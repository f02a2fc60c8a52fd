"""Rule 9: 64 slots, held by leases; and how an instance loses and regains one."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from consistency import CacheOptions, Source
from consistency.core.events import Joined, JoinFailed, Left
from consistency.core.model import SLOTS
from consistency.instance.membership import Membership
from consistency.tasks import Worker
from tests.instance.fleet import QUICK, Journal, await_status, started
from tests.instance.hand import Hand
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.gates import At


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def preferring(slot: int) -> CacheOptions:
    return dataclasses.replace(QUICK, preferred_slot=slot)


def occupy(store: FakeStore, *slots: int) -> dict[int, int]:
    """Other instances in these slots; their leases."""
    leases = {slot: run(store.grant(10, timeout=1)).id for slot in slots}
    for slot, lease in leases.items():
        assert run(store.claim(slot, lease, "{}", timeout=1))
    return leases


def test_the_first_instance_takes_the_lowest_slot(store: FakeStore) -> None:
    with started(store) as cache:
        assert cache.status().slot == 0


def test_the_preferred_slot_is_taken_if_it_is_free(store: FakeStore) -> None:
    with started(store, preferring(17)) as one, started(store, preferring(17)) as two:
        assert (one.status().slot, two.status().slot) == (17, 0)


def test_everybody_sees_the_fleet(store: FakeStore) -> None:
    with started(store) as one, started(store) as two:
        await_status(one, lambda status: [member.slot for member in status.members] == [0, 1])
        await_status(two, lambda status: [member.slot for member in status.members] == [0, 1])
    with started(store) as three:
        await_status(three, lambda status: [member.slot for member in status.members] == [0])


def test_a_member_key_without_a_lease_is_nobody(store: FakeStore) -> None:
    """A person who put it by hand holds no slot; the preferred one is written over, and neither seen nor waited for."""
    for slot in (17, 40):
        store.put_raw(store.layout.member(slot), b'{"address": "evil.example:80"}')
    with started(store, preferring(17)) as one:
        assert one.status().slot == 17
        store.put_raw(store.layout.member(41), b"{}")
        store.settle_watch()
        assert [member.slot for member in one.status().members] == [17]
        assert one.put("k", b"1", sync=True).acks == (1, 1)


def test_a_member_key_that_is_written_over_without_a_lease_is_lost(store: FakeStore) -> None:
    """The right to hit goes with it, and who writes for all to see waits until whoever had it can't hit any more."""
    with started(store) as one, started(store) as two:
        await_status(one, lambda status: len(status.members) == 2)
        roll = one._cache._fleet._roll
        before = roll._blind_until
        gate = store.hold("claim", At.REQUEST)  # and has not joined again yet
        store.put_raw(store.layout.member(1), b"{}")
        await_status(two, lambda status: status.slot is None)
        gate.wait_until_held()
        store.settle_watch()
        assert [member.slot for member in one.status().members] == [0]
        assert roll._blind_until > before
        gate.release()


def test_an_instance_that_closes_gives_its_slot_back(store: FakeStore) -> None:
    journal = Journal()
    with started(store, journal=journal):
        pass
    assert run(store.survey(None, timeout=1)).members == ()
    assert journal.all(Left) == [Left(0, "closed")]


@pytest.mark.fault("65th instance")
def test_the_65th_instance_serves_uncached_and_says_so(store: FakeStore) -> None:
    leases = occupy(store, *range(SLOTS))
    journal = Journal()
    with started(store, journal=journal, await_fresh=False) as cache:
        journal.await_event(lambda event: event == JoinFailed("full", "all 64 slots are held"))
        cache.put("k", b"1")
        assert [cache.get("k").source for _ in range(2)] == [Source.BYPASS] * 2
        status = await_status(cache, lambda status: status.why_not_ready == "")
        assert (status.slot, status.entries) == (None, 0)
        store.vanish(leases[40])
        cache.do(_wake(cache._cache._parts.joiner))  # it would look by itself after half a lease
        await_status(cache, lambda status: status.slot == 40 and status.fresh)


def test_a_slot_taken_by_somebody_quicker_is_left_to_them(store: FakeStore) -> None:
    """1. A sees slot 0 free; 2. B claims it; 3. A's claim fails and A takes another."""
    gate = store.hold("grant")
    journal = Journal()
    with started(store, journal=journal, await_fresh=False) as cache:
        gate.wait_until_held()
        occupy(store, 0)
        gate.release()
        journal.await_event(lambda event: isinstance(event, Joined))
        assert cache.status().slot not in (None, 0)
        assert JoinFailed("taken", "slot 00 was taken meanwhile") in journal.all(JoinFailed)


@pytest.mark.fault("member key deleted or lease revoked by hand")
def test_a_lost_lease_ends_the_hits_and_is_replaced(store: FakeStore) -> None:
    """Expired or revoked by hand: the watch, the proof or the renewal tells, and the instance joins anew."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        cache.put("k", b"1")
        cache.get("k")
        store.vanish(run(store.survey(None, timeout=1)).members[0].lease)
        journal.await_event(lambda event: event == Left(0, "expired"))
        await_status(cache, lambda status: status.slot is not None and status.fresh)
        assert cache.get("k").value == b"1"


async def nobody_minds() -> None:
    """Nothing is to be done before the first joins."""


def test_a_renewal_that_finds_the_lease_gone_leaves(store: FakeStore) -> None:
    """The keep-alive's own evidence, without any proof or event."""

    class Pauses:
        async def pause(self, seconds: float) -> None:
            assert seconds == pytest.approx(10 / 3)

    hand = Hand(store)
    membership = Membership(
        store, hand.state, ttl=10, preferred_slot=None, description="{}", timeout=1, observer=hand.happened.append,
        before_joining=nobody_minds, before_first=nobody_minds, on_joined=lambda: None, wall=lambda: 0.0,
        last_look=lambda: None,
    )  # fmt: skip
    lease = run(store.grant(10, timeout=1))
    hand.state.join(5, lease.id)
    store.vanish(lease.id)
    run(membership._hold(lease, Pauses()))  # type: ignore[arg-type]
    assert hand.state.lease == 0


def test_an_unreachable_store_does_not_end_a_membership_by_itself(store: FakeStore) -> None:
    """Leases carry no safety: the slot may survive an outage, the proof decides."""
    journal = Journal()
    with started(store, journal=journal) as cache:
        slot = cache.status().slot
        store.reachable = False
        await_status(cache, lambda status: not status.fresh)
        store.reachable = True
        await_status(cache, lambda status: status.fresh)
        assert cache.status().slot == slot
        assert journal.all(Left) == []


def test_nobody_joins_before_the_watch_has_begun(store: FakeStore) -> None:
    """Not even once more when it is told to stop."""
    hand = Hand(store, slot=None, watching=False)
    joining = Membership(
        store, hand.state, ttl=10, preferred_slot=None, description="{}", timeout=1, observer=hand.happened.append,
        before_joining=nobody_minds, before_first=nobody_minds, on_joined=lambda: None, wall=lambda: 0.0,
        last_look=lambda: None,
    )  # fmt: skip

    class Stopped:
        """The first pause ends with a stop."""

        async def pause(self, _seconds: float) -> None:
            raise asyncio.CancelledError

    before = dict(store.calls)
    with pytest.raises(asyncio.CancelledError):
        run(joining.run(Stopped()))  # type: ignore[arg-type]
    assert dict(store.calls) == before


def test_a_stop_in_the_middle_of_a_claim_gives_the_lease_back(store: FakeStore) -> None:
    """1. the claim is executed; 2. the instance is closed before the answer comes; 3. nobody is left in the slot."""
    gate = store.hold("claim")
    with started(store, await_fresh=False):
        gate.wait_until_held()
        assert run(store.survey(None, timeout=1)).members
    assert not run(store.survey(None, timeout=1)).members


def test_what_is_held_when_the_slot_is_lost_is_counted(store: FakeStore) -> None:
    hand = Hand(store)
    hand.get("k")
    hand.state.leave("expired")
    assert hand.invalidations("left") == 1


async def _wake(worker: Worker) -> None:
    """On its loop."""
    worker.wake()
