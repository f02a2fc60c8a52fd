"""Rule 10: a session that nobody can tell the revision of, and the id that sessions are named by."""

from __future__ import annotations

import pytest

from consistency.core.model import Source
from consistency.core.store import Denied, OutcomeUnknown, Unavailable
from consistency.instance.fleet_id import FleetId
from consistency.tasks import Errands
from tests.instance.fleet import Background, started
from tests.instance.hand import PATIENCE, Hand, ManualClock, write
from tests.support.driver import Meanwhile, run
from tests.support.fake_store import FakeStore
from tests.support.gates import At


@pytest.fixture
def store() -> FakeStore:
    found = FakeStore()
    write(found, "k", b"1")
    return found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_an_unknown_session_is_not_answered_what_it_may_have_seen_newer(store: FakeStore) -> None:
    """Rule 10: the entry is fresh here, and its event on the way; who wrote it has been answered."""
    hand = Hand(store)
    hand.get("k")
    store.pause_watch()
    write(store, "k", b"2")
    assert hand.get("k").value == b"1"
    reading = hand.get_meanwhile("k", session_unknown=True).result()
    assert (reading.value, reading.source) == (b"2", Source.MISS)


def test_an_unknown_session_is_answered_from_memory_once_that_is_proven(store: FakeStore) -> None:
    """Rules 10 and 11: for the price of a tiny batch."""
    hand = Hand(store)
    hand.get("k")
    moved = store.values_moved
    assert hand.get("k", session_unknown=True).source is Source.REVALIDATED
    assert store.values_moved == moved


def test_an_unknown_session_is_never_answered_unproven(store: FakeStore) -> None:
    """Rule 10: however stale an answer its client would take, it would not take one older than what it has seen."""
    hand = Hand(store)
    hand.get("k")
    store.reachable = False
    assert hand.get("k", stale_if_error=60.0).value == b"1"
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=60.0, session_unknown=True)


def test_the_id_is_asked_for_once_and_by_one_for_all(store: FakeStore, clock: ManualClock) -> None:
    """Rule 10."""
    fleet = FleetId(store, clock, Errands(lambda _: None))
    gate = store.hold("fleet")
    asking = [Meanwhile(fleet.get(clock() + PATIENCE)) for _ in range(5)]
    gate.wait_until_held()
    gate.release()
    assert {each.result() for each in asking} == {fleet.known}
    assert run(fleet.get(clock())) == fleet.known
    assert store.calls["fleet"] == 1


def test_an_answer_of_a_lost_history_is_not_taken_for_the_id(store: FakeStore, clock: ManualClock) -> None:
    """Rules 8 and 10: the backup is from before the fleet had an id, and another instance has made one since."""
    before = store.snapshot()
    fleet = FleetId(store, clock, Errands(lambda _: None))
    gate = store.hold("fleet")
    asking = Meanwhile(fleet.get(clock() + PATIENCE))
    gate.wait_until_held()
    store.restore(before)
    fleet.forget()
    made = run(store.fleet("f" * 16, timeout=1))
    gate.release()
    assert asking.result() == fleet.known == made


def test_another_history_may_bear_another_id(store: FakeStore) -> None:
    """Rules 8 and 10: an instance that notices asks again, since the others name their sessions by the new id."""
    before = store.snapshot()
    with started(store) as cache:
        first = cache.fleet_id()
        store.restore(before)
        write(store, "k", b"2")
        run(store.fleet("f" * 16, timeout=1))
        cache.get("k", use_cache=False)
        for _ in range(1000):
            if cache.known_fleet_id not in (first, ""):
                break
            Background(lambda: cache.get("k", use_cache=False)).result()
        assert cache.fleet_id() == "f" * 16


def test_nothing_was_written_for_whom_the_id_could_not_be_made(store: FakeStore, clock: ManualClock) -> None:
    """Rule 1: errors answer "did it happen?", of the write that wanted to name a session."""
    fleet = FleetId(store, clock, Errands(lambda _: None))
    store.hold("fleet").fail(OutcomeUnknown("lost"))
    with pytest.raises(Unavailable, match="lost"):
        run(fleet.get(clock() + PATIENCE))
    assert run(fleet.get(clock() + PATIENCE)) == run(store.fleet("f" * 16, timeout=1))


def test_waiting_for_the_id_has_an_end(store: FakeStore, clock: ManualClock) -> None:
    with pytest.raises(Unavailable, match="in time"):
        run(FleetId(store, clock, Errands(lambda _: None)).get(clock()))


def test_who_may_not_know_the_id_caches_all_the_same(store: FakeStore) -> None:
    """A role that was granted key by key, before there was an id: reads without a session go on."""
    store.hold("fleet", At.REQUEST).fail(Denied("permission denied"))
    with started(store) as cache:
        assert cache.get("k").value == b"1"
        assert cache.get("k").source is Source.HIT
