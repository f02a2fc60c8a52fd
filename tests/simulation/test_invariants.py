"""What holds of an instance is looked at after each of its steps: what is broken for one step only is found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from consistency.core.known import Entry, History
from consistency.instance.state import LocalState
from simulation.invariants import Invariants
from simulation.runs import planned, played

pytestmark = pytest.mark.lasting

Undo = Callable[[], None]


def beyond_the_bound(state: LocalState) -> Undo:
    before, state._fresh.fresh_until = state._fresh.fresh_until, 1e12
    return lambda: setattr(state._fresh, "fresh_until", before)


def without_a_slot(state: LocalState) -> Undo:
    before, state._fresh.lease = state._fresh.lease, 0
    return lambda: setattr(state._fresh, "lease", before)


def below_the_floor(state: LocalState) -> Undo:
    before, state._fresh.floor = state._fresh.floor, 1 << 40
    return lambda: setattr(state._fresh, "floor", before)


def back(state: LocalState) -> Undo:
    before, state._fresh.horizon = state._fresh.horizon, 1
    return lambda: setattr(state._fresh, "horizon", before)


def of_the_future(state: LocalState) -> Undo:
    state._entries.store("t/none", Entry(b"", 1, 1 << 40, 0.0))
    return lambda: state._entries.drop("t/none")


def made_up(state: LocalState) -> Undo:
    state._entries.store("t/none", Entry(b"", 1, state._fresh.horizon, 0.0))
    return lambda: state._entries.drop("t/none")


def too_many(state: LocalState) -> Undo:
    before, state._entries._bytes = state._entries._bytes, 1 << 60
    return lambda: setattr(state._entries, "_bytes", before)


def not_published(state: LocalState) -> Undo:
    state._window, before = replace(state._window, horizon=state._window.horizon + 1), state._window
    return lambda: setattr(state, "_window", before)


BREAKS: tuple[tuple[Callable[[LocalState], Undo], str], ...] = (
    (beyond_the_bound, "hits are allowed beyond the bound"),
    (without_a_slot, "hits are allowed without a slot"),
    (below_the_floor, "hits are allowed although the floor is above the horizon"),
    (back, "the horizon went back"),
    (of_the_future, "an entry is validated beyond the horizon"),
    (made_up, "what is held as current is not what etcd had"),
    (too_many, "more is held than is allowed"),
    (not_published, "the window that hits go by is not the present one"),
)


def found(monkeypatch: pytest.MonkeyPatch, break_: Callable[[LocalState], Undo]) -> list[str]:
    """What a run finds in which each renewal of a lease breaks something, and the very next callback mends it."""

    def renewed(state: LocalState) -> None:
        asyncio.get_running_loop().call_soon(break_(state))

    monkeypatch.setattr(LocalState, "renewed", renewed)
    return played(replace(planned(3), steps=(), asks=(), followers=(), fifo=True, cut_short=True)).problems


@pytest.mark.parametrize(("break_", "told"), BREAKS, ids=[break_.__name__ for break_, _ in BREAKS])
def test_what_is_broken_for_one_step_is_found_and_rounds_alone_would_miss_it(
    monkeypatch: pytest.MonkeyPatch, break_: Callable[[LocalState], Undo], told: str
) -> None:
    """One of a run's renewals may come in the very moment of a round."""
    each = found(monkeypatch, break_)
    assert told in " ".join(each)
    assert len(each) >= 4
    monkeypatch.setattr(Invariants, "after_step", lambda *_: None)
    assert len(found(monkeypatch, break_)) <= 1


def test_an_entry_that_is_not_what_etcd_has_is_found_though_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalState, "_mark", lambda *_: 0)
    run = played(replace(planned(3), steps=()))
    assert any("what is held as current is not what etcd had" in problem for problem in run.problems)


def test_names_beyond_the_bound_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(History, "append", overweight(History.append))
    run = played(replace(planned(3), steps=()))
    assert any("too many names are remembered" in problem for problem in run.problems)


def overweight(append: Callable[..., None]) -> Callable[..., None]:
    def heavy(history: History, *arguments: object) -> None:
        append(history, *arguments)
        history._weight += 10**6

    return heavy
