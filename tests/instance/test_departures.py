"""Rule 9: who has gone, and how: known to all, also to those who come later, and at what price."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest

from consistency.core.departures import KEPT, MOST, MOST_HEARD, Departures
from consistency.core.events import Event, Left
from consistency.core.model import NO_VERSION, Departure, DepartureEvent, Member, MemberEvent, Status
from consistency.core.store import Header, OutcomeUnknown, Survey, Unavailable
from consistency.instance.fleet import Fleet
from consistency.instance.recorder import write_down
from tests.instance.fleet import Journal, await_status, started
from tests.instance.hand import ManualClock, found
from tests.support.driver import run
from tests.support.fake_store import FakeStore
from tests.support.gates import At

BOUND = 1.0


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def process(boot: str) -> str:
    return json.dumps({"boot": boot})


def other(store: FakeStore, slot: int) -> int:
    """Another instance in this slot; its lease."""
    lease = run(store.grant(10, timeout=1)).id
    assert run(store.claim(slot, lease, process(f"other-{lease}"), timeout=1))
    return lease


def seen(status: Status) -> list[tuple[int | None, str]]:
    return [(each.slot, each.how) for each in status.departed]


def sees(*gone: tuple[int | None, str]) -> Callable[[Status], bool]:
    return lambda status: sorted(seen(status), key=str) == sorted(gone, key=str)


# --- whole instances


def test_who_leaves_in_order_says_so_and_who_comes_later_knows(store: FakeStore) -> None:
    with started(store) as one:
        with started(store, description=process("two")):
            pass
        (departure,) = await_status(one, sees((1, "left"))).departed
        assert departure.description == process("two")
        with started(store) as three:
            assert seen(three.status()) == [(1, "left")]


def test_a_member_that_vanishes_without_a_word_is_lost_for_all_and_for_those_who_come_later(store: FakeStore) -> None:
    with started(store) as one, started(store) as two:
        lease = other(store, 2)
        await_status(one, lambda status: len(status.members) == 3)
        await_status(two, lambda status: len(status.members) == 3)
        store.vanish(lease)
        for cache in (one, two):
            await_status(cache, sees((2, "lost")))
        await_written(store, lease)
        with started(store) as three:
            assert seen(three.status()) == [(2, "lost")]
    assert store.calls["record"] == 4  # one for the loss; three have left in order


def await_written(store: FakeStore, *leases: int) -> None:
    """Until it is written down that those are gone; by whom is nobody's affair."""
    pause = threading.Event()
    for _ in range(2000):
        if {each.lease for each in run(store.survey(None, timeout=1)).departed} >= set(leases):
            return
        pause.wait(0.005)
    raise AssertionError(run(store.survey(None, timeout=1)).departed)


def test_the_lowest_slot_writes_and_when_it_is_lost_as_well_the_next_one_does_it_for_both(store: FakeStore) -> None:
    """1. slots 0 and 1 die together; 2. the lease of 1 ends first: slot 0, which is dead, would have to write;
    3. the lease of 0 ends, and slot 2 is the lowest."""
    first, second = other(store, 0), other(store, 1)
    with started(store) as cache:
        assert cache.status().slot == 2
        store.vanish(second)
        await_status(cache, sees((1, "lost")))
        assert store.calls["record"] == 0
        store.vanish(first)
        await_written(store, first, second)


def test_a_lost_lease_is_a_loss_for_the_loser_too(store: FakeStore) -> None:
    """It is not its end that it says then."""
    with started(store, description=process("one")) as one:
        lease = run(store.survey(None, timeout=1)).members[0].lease
        store.vanish(lease)
        await_status(one, lambda status: status.fresh and seen(status) == [(0, "back")])
        await_written(store, lease)
        (written,) = run(store.survey(None, timeout=1)).departed
        assert written.how == "lost"


def test_an_instance_whose_lease_was_lost_for_a_moment_is_back(store: FakeStore) -> None:
    with started(store, description=process("one")) as one, started(store) as two:
        store.vanish(run(store.survey(None, timeout=1)).members[0].lease)
        await_status(two, sees((0, "back")))
        await_status(one, lambda status: status.fresh and seen(status) == [(0, "back")])
        with started(store) as late:
            assert [how for _, how in seen(late.status())] == ["back"]
    (left, *_) = (each for each in run(store.survey(None, timeout=1)).departed if each.description == process("one"))
    assert left.how in ("left", "lost")  # what is written is what was known; "back" is found by who looks


def test_an_end_is_in_order_although_the_joiner_has_just_been_woken(store: FakeStore) -> None:
    """1. the instance leaves its slot; 2. the joiner is woken, and would see that; 3. it is told to stop."""

    class Hurried(Journal):
        def __call__(self, event: Event) -> None:
            super().__call__(event)
            if isinstance(event, Left):
                cache._cache._parts.joiner.wake()

    with started(store, journal=Hurried()) as cache:
        lease = run(store.survey(None, timeout=1)).members[0].lease
    assert [(each.lease, each.how) for each in run(store.survey(None, timeout=1)).departed] == [(lease, "left")]


def test_who_has_gone_while_the_watch_was_cut_is_found_by_the_next_survey(store: FakeStore) -> None:
    """What was written meanwhile tells how; nothing written is a loss."""
    with started(store) as one:
        lost, left = other(store, 1), other(store, 2)
        await_status(one, lambda status: len(status.members) == 3)
        store.deafen_watch()
        run(
            store.record(
                Departure(left, 2, "left", 1.0, process("left")), run(store.grant(KEPT, timeout=1)).id, timeout=1
            )
        )
        store.vanish(left)
        store.vanish(lost)
        store.cut_watch()
        await_status(one, sees((1, "lost"), (2, "left")))
        await_written(store, lost, left)


def test_what_could_not_be_written_is_written_later(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consistency.instance.recorder.AGAIN", 0.05)
    with started(store) as one:
        lease = other(store, 1)
        await_status(one, lambda status: len(status.members) == 2)
        store.hold("record").fail(OutcomeUnknown("lost"))
        store.hold("grant").fail(OutcomeUnknown("lost"))
        store.vanish(lease)
        await_written(store, lease)


def test_what_was_written_though_the_answer_was_lost_stays(store: FakeStore) -> None:
    """1. it is written, the answer is lost; 2. all have seen it; 3. to give the lease back would be to erase it."""
    lost = Departure(7, 1, "lost", 5.0, "{}")
    store.hold("record").fail(OutcomeUnknown("lost"))
    with pytest.raises(OutcomeUnknown):
        run(write_down(store, lost, timeout=1))
    assert run(store.survey(None, timeout=1)).departed == (lost,)


@pytest.mark.parametrize("prepare", ["written already", "refused"])
def test_a_lease_that_holds_nothing_is_given_back(store: FakeStore, prepare: str) -> None:
    lost = Departure(7, 1, "lost", 5.0, "{}")
    if prepare == "refused":
        store.hold("record", At.REQUEST).fail(Unavailable("not sent"))
        with pytest.raises(Unavailable):
            run(write_down(store, lost, timeout=1))
    else:
        run(write_down(store, lost, timeout=1))
        run(write_down(store, lost, timeout=1))
    assert store.calls["revoke"] == 1


def test_another_history_loses_nobody(store: FakeStore) -> None:
    """A backup from before they came: who was there is not there any more, and nobody was killed (rule 8)."""
    saved = store.snapshot()
    with started(store) as one:
        other(store, 1)
        await_status(one, lambda status: len(status.members) == 2)
        store.restore(saved)
        found(store)
        await_status(one, lambda status: status.fresh and len(status.members) == 1)
        assert [how for _, how in seen(one.status())] in ([], ["back"])


def test_a_close_that_cannot_say_so_ends_in_time_all_the_same(store: FakeStore) -> None:
    with started(store):
        store.no_space = True
    assert run(store.survey(None, timeout=1)).members == ()


def test_an_orderly_end_costs_two_events_and_the_idle_fleet_nothing(store: FakeStore) -> None:
    """One watch, as ever. The word, then the deletion; and a proof and a renewal ask for what they did before."""
    with started(store) as one:
        with started(store) as leaving:
            await_status(one, lambda status: len(status.members) == 2)
            store.pause_watch()
            slot = leaving.status().slot
            assert slot == 1
        events = store.pending()
        assert [type(event) for event in events] == [DepartureEvent, MemberEvent]
        store.resume_watch()
        await_status(one, sees((1, "left")))
        assert store.streams == 1


# --- the picture


def a_member(slot: int, lease: int, boot: str = "x") -> Member:
    return Member(slot, lease, created=1, description=process(boot))


def surveyed(*members: Member, departed: tuple[Departure, ...] = ()) -> Survey:
    return Survey(Header(1, 1), NO_VERSION, None, members, departed)


class Wall:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def a_fleet(*members: Member) -> tuple[Fleet, ManualClock]:
    clock = ManualClock()
    fleet = Fleet(BOUND, clock, Wall())
    fleet.stream_began(surveyed(*members))
    return fleet, clock


def hows(fleet: Fleet) -> list[str]:
    return [each.how for each in fleet.departed()]


def test_a_departure_that_is_known_at_a_start_is_not_taken_for_a_loss_when_its_key_goes() -> None:
    """The instance has said so, and its key is still there when we begin."""
    left = Departure(11, 1, "left", 5.0, process("x"))
    fleet = Fleet(BOUND, ManualClock(), Wall())
    fleet.stream_began(surveyed(a_member(1, 11), departed=(left,)))
    fleet.see(MemberEvent(2, 1, None))
    assert (hows(fleet), fleet.unwritten()) == (["left"], ())


def test_a_first_survey_takes_nobody_for_lost() -> None:
    fleet, _ = a_fleet()
    assert fleet.departed() == ()


def test_a_slot_that_passes_to_another_lease_at_once_has_lost_its_holder() -> None:
    """By hand, say; the service claims free slots only."""
    fleet, _ = a_fleet(a_member(1, 11))
    fleet.see(MemberEvent(2, 1, a_member(1, 12, "y")))
    assert hows(fleet) == ["lost"]


def test_who_was_cut_off_for_more_than_an_hour_takes_nobody_for_lost() -> None:
    """They may have said so, and the word has ended since."""
    fleet, clock = a_fleet(a_member(1, 11))
    fleet.stream_ended()
    clock.advance(KEPT - 1)
    fleet.stream_began(surveyed(a_member(2, 12, "y")))
    assert hows(fleet) == ["lost"]
    fleet.stream_ended()
    clock.advance(KEPT + 1)
    fleet.stream_began(surveyed())
    assert hows(fleet) == []


def test_what_nobody_could_write_is_forgotten_after_an_hour_and_what_is_written_when_its_key_ends() -> None:
    fleet, clock = a_fleet(a_member(1, 11), a_member(2, 12))
    fleet.see(DepartureEvent(2, 12, Departure(12, 2, "left", 5.0, "{}")))
    for slot in (1, 2):
        fleet.see(MemberEvent(3, slot, None))
    clock.advance(KEPT + 1)
    assert hows(fleet) == ["left"]
    fleet.see(DepartureEvent(4, 12, None))
    assert hows(fleet) == []


def test_who_was_back_and_then_left_in_order_is_not_lost() -> None:
    departures = Departures()
    departures.replace([Departure(1, 0, "lost", 5.0, process("a")), Departure(2, 3, "left", 6.0, process("a"))])
    assert [each.how for each in departures.all((), now=0.0)] == ["left", "back"]


@pytest.mark.parametrize("description", ["{}", "[]", "nonsense", '{"boot": 7}', '{"boot": ""}', "[" * 100_000])
def test_who_does_not_say_which_process_it_is_is_never_back(description: str) -> None:
    departures = Departures()
    departures.replace([Departure(1, 0, "lost", 5.0, description)])
    here = Member(0, 2, 1, description)
    assert [each.how for each in departures.all((here,), now=0.0)] == ["lost"]


def test_what_is_too_much_is_erased_the_oldest_of_those_who_left_in_order_first() -> None:
    departures = Departures()
    departures.replace(Departure(lease, 0, "lost", float(lease), "{}") for lease in range(1, MOST))
    departures.wrote(Departure(500, 0, "left", 500.0, "{}"))
    assert departures.surplus() == ()
    departures.wrote(Departure(501, 0, "left", 501.0, "{}"))
    assert departures.surplus() == (500,)
    for lease in (502, 503):
        departures.wrote(Departure(lease, 0, "lost", float(lease), "{}"))
    assert departures.surplus() == (500, 501, 1)


def test_memory_is_bounded_whatever_is_in_etcd_and_however_many_go() -> None:
    departures = Departures()
    departures.replace(Departure(lease, 0, "lost", 5.0, "{}") for lease in range(1, 10 * MOST_HEARD))
    for lease in range(10 * MOST_HEARD, 20 * MOST_HEARD):
        departures.gone(a_member(0, lease), now=0.0, at=0.0)
    assert len(departures.all((), now=0.0)) == MOST_HEARD + MOST


def test_too_much_is_erased_by_the_lowest_slot(store: FakeStore) -> None:
    lease = run(store.grant(KEPT, timeout=1)).id
    for number in range(MOST + 5):
        run(store.record(Departure(10_000 + number, 0, "left", float(number), "{}"), lease, timeout=1))
    with started(store) as cache:
        await_status(cache, lambda status: len(status.departed) == MOST)
    written = {each.lease for each in run(store.survey(None, timeout=1)).departed}
    assert not written & set(range(10_000, 10_005))


def test_a_description_that_is_too_long_is_not_kept() -> None:
    told = Departure(1, 0, "left", 5.0, "x" * 100_000)
    assert len(told.encode()) < 200
    assert Departure.decode(1, told.encode()) == Departure(1, 0, "left", 5.0, "{}")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"7", b"[" * 100_000, b'{"slot": true, "how": "left", "at": 1, "description": ""}',
        b'{"slot": -1, "how": "left", "at": 1, "description": ""}',
        b'{"slot": 1, "how": "back", "at": 1, "description": ""}',
        b'{"slot": 1, "how": "left", "at": NaN, "description": ""}',
        b'{"slot": 1, "how": "left", "at": 1e99, "description": ""}',
        b'{"slot": 1, "how": "left", "at": 1, "description": {}}', b'{"slot": 1, "how": "left", "at": 1}',
    ],
)  # fmt: skip
def test_what_we_would_not_have_written_says_nothing(raw: bytes) -> None:
    assert Departure.decode(1, raw) is None
