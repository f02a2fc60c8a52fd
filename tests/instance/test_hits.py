"""Hits are found on any thread: what they see is nevertheless one moment of the state (rule 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.decisions import Serve
from consistency.core.freshness import Freshness
from consistency.core.known import Entry, History, NearCache
from consistency.core.model import Reading, Revision, Source, VersionState
from tests.instance.hand import BOUND, Hand, write
from tests.support.fake_store import FakeStore


class InterruptedEntries(NearCache):
    """Entries during whose access something else happens, as another thread would do it."""

    def __init__(self, before_get: Callable[[], None], before_invalidate: Callable[[], None]) -> None:
        super().__init__(max_entries=100, max_bytes=1 << 20)
        self._before_get = before_get
        self._before_invalidate = before_invalidate

    def get(self, key: str) -> Entry | None:
        self._before_get()
        return super().get(key)

    def invalidate(self, key: str, revision: Revision) -> bool:
        self._before_invalidate()
        return super().invalidate(key, revision)


def nothing() -> None:
    """Nobody interrupts."""


def holding(hand: Hand, entries: NearCache, **documents: bytes) -> None:
    """Lets the instance use these entries, and load the documents into them."""
    for key, value in documents.items():
        write(hand.store, key, value)
        hand.deliver()
    hand.state._entries = entries
    for key in documents:
        hand.get(key)


def test_a_hit_is_what_the_decision_on_the_loop_would_be() -> None:
    hand = Hand(FakeStore())
    holding(hand, NearCache(100, 1 << 20), a=b"1")
    hand.clock.advance(BOUND / 2)
    revision = hand.state.snapshot().horizon
    assert hand.state.hit("a") == Reading(b"1", revision, revision, Source.HIT, BOUND / 2)
    assert hand.state.hit("a", revision + 1) is None
    assert hand.state.hit("b") is None


def test_an_entry_of_age_is_no_hit_however_young_the_proof() -> None:
    """Rule 13."""
    hand = Hand(FakeStore())
    holding(hand, NearCache(100, 1 << 20), a=b"1")
    hand.clock.advance(hand.options.max_age)
    hand.prove()
    assert hand.state.hit("a") is not None
    hand.clock.advance(0.5)
    hand.prove()
    assert hand.state.hit("a") is None


def test_a_hit_in_the_middle_of_an_event_never_claims_the_new_revision_for_the_old_value() -> None:
    """Step 4 of the story in `state`: the window is published after the marks."""
    seen: list[Reading | None] = []
    hand = Hand(store := FakeStore())
    holding(hand, InterruptedEntries(nothing, lambda: seen.append(hand.state.hit("a"))), a=b"1")
    before = hand.state.snapshot().horizon
    write(store, "a", b"2")
    hand.deliver()
    assert [reading and (reading.value, reading.revision) for reading in seen] == [(b"1", before)]
    assert hand.state.hit("a") is None


def test_a_hit_in_the_middle_of_a_fill_never_claims_an_earlier_revision_for_the_newer_value() -> None:
    """1. a document is put from outside, without a version; 2. a proof brings it, and has not published its window."""
    seen: list[Reading | None] = []
    hand = Hand(store := FakeStore())

    class Filling(NearCache):
        def store(self, key: str, entry: Entry) -> int:
            evicted = super().store(key, entry)
            seen.append(hand.state.hit(key))
            return evicted

    hand.state._entries = Filling(100, 1 << 20)
    store.put_outside("a", b"1")
    assert hand.get("a").value == b"1"
    assert seen == [None]
    hit = hand.state.hit("a")
    assert hit is not None
    assert hit.revision >= hit.mod_revision


def test_a_hit_does_not_join_a_window_with_the_entry_of_another_history() -> None:
    """1. a hit looks at the window; 2. etcd is restored, all is dropped, proven and loaded anew, at lower revisions;
    3. the hit looks at the entry. To serve it would give out a revision that this history has not reached.
    """
    hand = Hand(store := FakeStore())
    interruptions: list[Callable[[], None]] = []

    def run_next() -> None:
        if interruptions:
            interruptions.pop()()

    holding(hand, InterruptedEntries(run_next, nothing), a=b"1")
    saved = store.snapshot()
    for _ in range(5):
        write(store, "b", b"1")
    hand.deliver(5)

    def start_over() -> None:
        store.restore(saved)
        write(store, "a", b"2")
        hand.prove()
        hand.connect()
        hand.prove()
        hand.state.leave("history")
        hand.join(1)
        hand.prove()
        assert hand.get("a").value == b"2"

    interruptions.append(start_over)
    assert hand.state.hit("a") is None
    reading = hand.state.hit("a")
    assert reading is not None
    assert reading.value == b"2"


def test_an_entry_that_is_evicted_while_it_is_looked_up_is_none() -> None:
    entries = NearCache(100, 1 << 20)
    entries.store("a", Entry(b"1", 1, 1, 0.0))

    class Vanishing(type(entries._entries)):  # type: ignore[misc]
        def get(self, key: str) -> Entry:
            return cast(Entry, super().pop(key))

    entries._entries = Vanishing(entries._entries)
    assert entries.get("a") is None


REVISIONS = st.integers(8, 12)
MOMENTS = st.sampled_from([0.0, 0.5, 0.999, 1.0, 2.0, 60.0, 61.0, 70.0])


@given(REVISIONS, REVISIONS, REVISIONS, REVISIONS, MOMENTS, MOMENTS, st.booleans(), st.booleans())
def test_the_window_admits_exactly_what_the_decision_serves(
    floor: int, rise: int, validated_at: int, minimum: int, now: float, until: float, stale: bool, member: bool
) -> None:
    """One rule said twice, since the short way must be short: here the two are held together."""
    fresh = Freshness(BOUND, max_age=60.0)
    fresh.history = History(VersionState(8, 1, 1, "n"))
    fresh.floor, fresh.horizon = floor, max(floor, rise)
    if member:
        fresh.join(0, 1)
        fresh.fresh_until = until
    entry = Entry(b"1", 8, min(validated_at, fresh.horizon), loaded_at=0.0, stale=stale)
    served = isinstance(fresh.decide(entry, now, minimum), Serve)
    assert fresh.window().admits(entry, now, minimum) == served


@pytest.mark.parametrize("until", [0.0, 5.0])
def test_the_window_of_an_instance_that_has_left_is_closed(until: float) -> None:
    """Rule 9: losing the slot is losing the right to hit."""
    fresh = Freshness(BOUND, max_age=60.0)
    fresh.join(0, 1)
    fresh.fresh_until = until
    fresh.leave()
    assert fresh.window().until == 0.0
