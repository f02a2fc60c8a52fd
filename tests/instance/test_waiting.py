"""Rule 9: who finds all slots taken waits for one, where the fleet sees it, and where no other rule looks (rule 12)."""

from __future__ import annotations

import dataclasses
import json

import pytest

from consistency import Status
from consistency.core.events import JoinFailed
from consistency.core.model import NO_VERSION, SLOTS, WAITING, AckEvent, Member, MemberEvent, WaitingEvent
from consistency.core.store import Header, OutcomeUnknown, Survey
from consistency.instance.fleet import MOST_HEARD, Fleet
from tests.instance.fleet import QUICK, Journal, await_status, started
from tests.instance.hand import ManualClock
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.gates import At

EAGER = dataclasses.replace(QUICK, lease_ttl=1)
"""Tries for a slot, and renews its place, several times a second. The fake's leases end when a test says so."""


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def process(boot: str) -> str:
    return json.dumps({"boot": boot})


def fill(store: FakeStore) -> list[int]:
    """Other instances in all slots; their leases."""
    leases = [run(store.grant(1000, timeout=1)).id for _ in range(SLOTS)]
    for slot, lease in enumerate(leases):
        assert run(store.claim(slot, lease, process(f"member-{slot}"), timeout=1))
    return leases


def waits(status: Status) -> bool:
    return status.me is not None and status.me.slot is None and status.waiting == (status.me,)


def seen(status: Status) -> list[tuple[int | None, str]]:
    return [(each.slot, each.how) for each in status.departed]


def test_who_finds_no_slot_is_seen_and_is_no_member(store: FakeStore) -> None:
    """Neither an acknowledgement nor a lower slot is expected of it."""
    leases = fill(store)
    with started(store, await_fresh=False, description=process("late")) as late:
        me = await_status(late, waits).me
        assert me is not None
        assert (me.description, me.lease in leases) == (process("late"), False)
        assert len(late.status().members) == SLOTS
        assert late.put("k", b"1", sync=True).acks == (0, SLOTS)


def test_who_gets_a_slot_waits_no_more_and_nobody_takes_it_for_lost(store: FakeStore) -> None:
    leases = fill(store)
    with (
        started(store, EAGER, await_fresh=False, description=process("late")) as late,
        started(store, EAGER, await_fresh=False, description=process("other")) as other,
    ):
        await_status(other, lambda status: len(status.waiting) == 2)
        place = late.status().lease
        run(store.revoke(leases[40], timeout=1))
        joined = {late: await_status(late, lambda status: 40 in (status.slot, other.status().slot)).slot == 40}
        winner, loser = (late, other) if joined[late] else (other, late)
        status = await_status(loser, lambda status: len(status.waiting) == 1 and len(status.members) == SLOTS)
        assert seen(status) == [(40, "lost")]  # whose lease was revoked above; nobody else
        assert status.waiting == (status.me,)
        if winner is late:
            assert late.status().lease == place  # the lease stays


def test_who_ends_while_it_waits_says_so_and_who_is_killed_is_lost(store: FakeStore) -> None:
    fill(store)
    with started(store, await_fresh=False, description=process("stays")) as stays:
        await_status(stays, waits)
        with started(store, await_fresh=False, description=process("leaves")) as leaves:
            await_status(leaves, lambda status: len(status.waiting) == 2)
            await_status(stays, lambda status: len(status.waiting) == 2)
        await_status(stays, lambda status: seen(status) == [(None, "left")] and waits(status))
        lease = run(store.grant(10, timeout=1)).id
        run(store.wait(lease, process("killed"), timeout=1))
        await_status(stays, lambda status: len(status.waiting) == 2)
        store.vanish(lease)
        await_status(stays, lambda status: sorted(seen(status), key=str) == [(None, "left"), (None, "lost")])


def test_a_place_is_renewed_with_each_attempt_and_taken_anew_when_it_is_lost(store: FakeStore) -> None:
    fill(store)
    with started(store, EAGER, await_fresh=False, description=process("late")) as late:
        first = await_status(late, waits).lease
        before = store.calls["keep_alive"]
        await_status(late, lambda _: store.calls["keep_alive"] > before)
        store.vanish(first)
        status = await_status(late, lambda status: waits(status) and status.lease != first)
        assert [each.how for each in status.departed] == ["back"]


def test_who_can_say_nothing_waits_all_the_same_and_says_that_all_slots_are_held(store: FakeStore) -> None:
    """A store without space, say: it is no other failure than that there is no slot."""
    leases = fill(store)
    journal = Journal()
    with started(store, EAGER, journal=journal, await_fresh=False) as late:
        await_status(late, waits)
        store.no_space = True
        store.vanish(late.status().lease)
        journal.clear()
        journal.await_event(lambda event: event == JoinFailed("full", f"all {SLOTS} slots are held"))
        assert set(journal.all(JoinFailed)) == {JoinFailed("full", f"all {SLOTS} slots are held")}
        store.no_space = False
        store.vanish(leases[7])
        await_status(late, lambda status: status.slot == 7)


def test_a_claim_without_an_answer_gives_the_place_back_as_well(store: FakeStore) -> None:
    """The slot may be ours: both end with the lease, and the next attempt begins with neither."""
    leases = fill(store)
    with started(store, EAGER, await_fresh=False, description=process("late")) as late:
        place = await_status(late, waits).lease
        store.hold("claim").fail(OutcomeUnknown("lost"))
        store.vanish(leases[7])
        status = await_status(late, lambda status: status.slot == 7)
        assert status.lease != place
        assert place not in {each.lease for each in status.present}


def test_a_claim_without_an_answer_never_leaves_one_lease_with_a_slot_that_nobody_uses_and_a_place(
    store: FakeStore,
) -> None:
    """1. the claim is done, its answer is lost; 2. nor can the lease be given back; 3. to wait on with that lease would
    be to renew a slot that we don't know of."""
    leases = fill(store)
    with started(store, EAGER, await_fresh=False, description=process("late")) as late:
        place = await_status(late, waits).lease
        store.hold("claim").fail(OutcomeUnknown("lost"))
        store.hold("revoke", At.REQUEST).fail(OutcomeUnknown("lost"))
        store.vanish(leases[7])
        status = await_status(late, lambda status: waits(status) and status.lease != place)
        assert [member.slot for member in status.members if member.lease == place] == [7]


def test_no_more_than_so_many_are_seen(store: FakeStore) -> None:
    fill(store)
    for number in range(WAITING):
        run(store.wait(run(store.grant(1000, timeout=1)).id, process(f"waits-{number}"), timeout=1))
    journal = Journal()
    with started(store, EAGER, journal=journal, await_fresh=False) as late:
        journal.await_event(lambda event: isinstance(event, JoinFailed))
        assert (late.status().lease, len(late.status().waiting)) == (0, WAITING)
        assert store.calls["wait"] == WAITING
        assert late.put("k", b"1").revision > 0  # and yet it serves


def test_a_place_that_could_not_be_written_holds_no_lease(store: FakeStore) -> None:
    fill(store)
    store.hold("wait", At.REQUEST).fail(OutcomeUnknown("lost"))
    with started(store, EAGER, await_fresh=False) as late:
        await_status(late, waits)
        assert store.calls["revoke"] == 1


# --- the picture


def a_fleet(*waiting: Member) -> Fleet:
    fleet = Fleet(1.0, ManualClock(), lambda: 5.0)
    fleet.stream_began(Survey(Header(1, 1), NO_VERSION, None, (), (), waiting))
    return fleet


def one(lease: int, slot: int | None = None) -> Member:
    return Member(slot, lease, lease, process(f"{lease}"))


def test_the_slot_is_seen_before_the_place_is_given_up() -> None:
    fleet = a_fleet(one(7))
    fleet.see(MemberEvent(2, 0, one(7, slot=0)))
    fleet.see(WaitingEvent(2, 7, None))
    assert (fleet.departed(), fleet.waiting(), len(fleet.members())) == ((), (), 1)


def test_a_departure_of_one_who_waits_delays_no_synchronous_write() -> None:
    """It never served from memory (rule 12)."""
    clock = ManualClock()
    fleet = Fleet(1.0, clock, lambda: 5.0)
    fleet.stream_began(Survey(Header(1, 1), NO_VERSION, None, (one(1, slot=0),), (), (one(7),)))
    clock.advance(2.0)
    fleet.see(WaitingEvent(2, 7, None))
    fleet.see(AckEvent(3, 0, 9))
    assert run(fleet.await_acks(9, (0,), deadline=clock())) == (1, True)
    assert [each.how for each in fleet.departed()] == ["lost"]


def test_who_waits_is_listed_in_the_order_of_coming_and_bounded() -> None:
    fleet = a_fleet(*(one(lease) for lease in range(1, 1000)))
    assert len(fleet.waiting()) == MOST_HEARD
    fleet.see(WaitingEvent(2, 5000, one(5000)))
    assert len(fleet.waiting()) == MOST_HEARD
    fleet.see(WaitingEvent(2, 1, None))
    fleet.see(WaitingEvent(2, 5000, one(5000)))
    assert [member.lease for member in fleet.waiting()] == [*range(2, MOST_HEARD + 1), 5000]
