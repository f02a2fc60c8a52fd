"""What an instance serves although etcd can't be asked, to clients that allow it (`stale_if_error`): the last known.

It is served for as long as nothing says, and nothing was missed that could have said, that it has changed; whether this
instance holds a slot or not (rules 6, 9 and 13).
"""

from __future__ import annotations

import pytest

from consistency.core.decisions import NotMember, Proof
from consistency.core.freshness import DEPARTURES_REMEMBERED
from consistency.core.model import Source
from consistency.core.store import Unavailable
from tests.instance.hand import BOUND, Hand, found, write
from tests.instance.test_races import summary
from tests.support.fake_store import FakeStore


@pytest.fixture
def store() -> FakeStore:
    """With a genesis and one document, written before anybody looked."""
    store = FakeStore()
    found(store)
    write(store, "k", b"1")
    return store


@pytest.fixture
def hand(store: FakeStore) -> Hand:
    return Hand(store)


def lose_the_slot(store: FakeStore, hand: Hand) -> None:
    """As after a pause of etcd that was longer than the lease."""
    store.vanish(hand.state.lease)
    assert hand.prove() == NotMember(holder=0)


def test_it_outlives_the_slot(store: FakeStore, hand: Hand) -> None:
    """1. proven; 2. the slot is lost; 3. etcd is away: served with the age of the last proof."""
    hand.get("k")
    hand.clock.advance(3)
    lose_the_slot(store, hand)
    store.reachable = False
    hand.clock.advance(4)
    reading = hand.get("k", stale_if_error=6.0)
    assert summary(reading) == (b"1", Source.STALE)
    assert reading.age == pytest.approx(7)
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=5.0)


def test_it_outlives_the_next_slot_before_it_is_validated(store: FakeStore, hand: Hand) -> None:
    """1. proven; 2. lost; 3. joined and proven anew; 4. etcd is away before the entry was validated.

    The new proof does not speak of it: perhaps nobody audited in between. Its age is that of the old one."""
    hand.get("k")
    lose_the_slot(store, hand)
    hand.clock.advance(3)
    hand.join()
    assert isinstance(hand.prove(), Proof)
    store.reachable = False
    hand.clock.advance(4)
    assert hand.get("k", stale_if_error=100.0).age == pytest.approx(7)


def test_its_age_is_that_of_the_membership_it_was_validated_in(store: FakeStore, hand: Hand) -> None:
    """Several slots, one entry from each."""
    for key in ("a", "b", "c"):
        hand.get(key)
        lose_the_slot(store, hand)
        hand.clock.advance(1)
        hand.join()
        hand.prove()
    store.reachable = False
    ages = [hand.get(key, stale_if_error=100.0).age for key in ("a", "b", "c")]
    assert ages == [pytest.approx(3), pytest.approx(2), pytest.approx(1)]


def test_it_is_given_up_when_too_many_slots_were_lost_since(store: FakeStore, hand: Hand) -> None:
    """When it was proven is not remembered for ever; an age that is too low would be a lie."""
    hand.get("k")
    for _ in range(DEPARTURES_REMEMBERED):
        lose_the_slot(store, hand)
        hand.join()
        hand.clock.advance(1)
        hand.prove()
    store.reachable = False
    hand.clock.advance(BOUND)
    assert hand.get("k", stale_if_error=1000.0).source is Source.STALE
    store.reachable = True
    lose_the_slot(store, hand)
    store.reachable = False
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0)


@pytest.mark.parametrize("names", [frozenset(), None], ids=["its name", "null"])
def test_it_ends_with_an_event_that_names_it(store: FakeStore, hand: Hand, names: frozenset[str] | None) -> None:
    """With a slot and without one; null names everything (rule 2)."""
    hand.get("k")
    lose_the_slot(store, hand)
    write(store, "k", b"2", names)
    hand.deliver()
    store.reachable = False
    hand.clock.advance(BOUND)
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0)


def test_what_null_names_is_not_known_with_a_slot_either(store: FakeStore, hand: Hand) -> None:
    hand.get("k")
    write(store, "k", b"2", None)
    hand.deliver()
    store.reachable = False
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0)


def test_it_ends_with_a_gap(store: FakeStore, hand: Hand) -> None:
    """Rule 6: the event that was missed may have named it."""
    hand.get("k")
    write(store, "k", b"2")
    hand.lose()
    hand.connect(gap=True)
    store.reachable = False
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0)


def test_a_stream_that_goes_on_after_the_horizon_is_no_gap(store: FakeStore, hand: Hand) -> None:
    """Rule 7: what was missed meanwhile comes."""
    hand.get("k")
    hand.connect()
    store.reachable = False
    hand.clock.advance(BOUND)
    assert hand.get("k", stale_if_error=1000.0).source is Source.STALE


def test_it_ends_with_its_history(store: FakeStore, hand: Hand) -> None:
    """Rule 8: what was never known here is not the last known, whatever revision it bears."""
    saved = store.snapshot()
    write(store, "k", b"2")
    hand.deliver()
    hand.get("k")
    lose_the_slot(store, hand)
    store.restore(saved)
    hand.connect()
    store.reachable = False
    hand.clock.advance(BOUND)
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0)


def test_a_session_is_not_taken_back_without_a_slot(store: FakeStore, hand: Hand) -> None:
    """Rule 10."""
    hand.get("k")
    lose_the_slot(store, hand)
    token = write(store, "other", b"2").header.revision
    store.reachable = False
    with pytest.raises(Unavailable):
        hand.get("k", stale_if_error=1000.0, min_revision=token)
