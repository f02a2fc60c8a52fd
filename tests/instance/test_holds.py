"""What the state does at once takes no long: with 100,000 entries, at the bounds of what events and audits may name."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from consistency.core.known import NAMES_REMEMBERED, Entry
from consistency.core.model import VersionEvent, VersionState
from consistency.core.options import CacheOptions
from consistency.core.store import Header, Listed, Survey, Touched
from consistency.instance.auditor import MOST as MOST_AUDITED
from consistency.instance.auditor import Baseline, perhaps_deleted, undone, unexplained, vanished
from consistency.instance.state import LocalState
from tests.support.holds import RUNS, most

ENTRIES = 100_000
KEYS = [f"team/a-service/{number}" for number in range(ENTRIES)]
BEFORE = VersionState(10, 1, 10, "n")


def full() -> LocalState:
    """It watches from revision 10 on, and holds ENTRIES."""
    state = LocalState(CacheOptions(max_entries=ENTRIES), lambda _: None, lambda: 0.0)
    state.start_from(state.ticket(), Survey(Header(1, 10), BEFORE, None, ()), gap=False)
    for key in KEYS:
        state._entries.store(key, Entry(b"1", 5, 10, 0.0))
    assert len(state._entries) == ENTRIES
    return state


def version(*, names: int | None = None) -> VersionEvent:
    return VersionEvent(VersionState(11, 1, 11, "m"), None if names is None else frozenset(KEYS[:names]), op="put")


def event_of_1000(state: LocalState) -> None:
    assert state.apply(version(names=1000), state.epoch)


def event_of_everything(state: LocalState) -> None:
    assert state.apply(version(), state.epoch)


def another_history(state: LocalState) -> None:
    other = Survey(Header(2, 5), VersionState(5, 1, 5, "other"), None, ())
    assert state.start_from(state.ticket(), other, gap=False)
    assert state.snapshot().entries == 0


@pytest.mark.parametrize("happens", [event_of_1000, event_of_everything, another_history])
def test_nothing_that_happens_to_the_state_holds_the_loop(happens: Callable[[LocalState], None]) -> None:
    found = []
    for _ in range(RUNS):
        state = full()
        started = time.thread_time()
        happens(state)
        found.append(time.thread_time() - started)
    assert min(found) < most()


def test_no_audit_holds_the_loop() -> None:
    """With as many documents and names as it looks at. Between the two steps it asks etcd what there was before."""
    each = NAMES_REMEMBERED // 100
    events = tuple(
        VersionEvent(VersionState(at, 1, at, f"{at}"), frozenset(KEYS[at * 100 : at * 100 + 100]), op="put")
        for at in range(11, 11 + each)
    )
    listed = tuple(Listed(KEYS[number * 16], 11 + number % each, 5) for number in range(MOST_AUDITED))
    seen = Touched(Header(1, 11 + each), events[-1].state, ENTRIES, listed, complete=True)
    before = Baseline(10, BEFORE, ENTRIES)
    assert least(lambda: perhaps_deleted(before, seen, events)) < most()
    assert least(lambda: (vanished(before, seen), unexplained(seen, events), undone(seen, events))) < most()


def least(work: Callable[[], object]) -> float:
    """Seconds of the processor's time; what is measured first may be cold."""
    found = []
    for _ in range(RUNS):
        started = time.thread_time()
        work()
        found.append(time.thread_time() - started)
    return min(found)
