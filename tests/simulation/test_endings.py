"""What a fleet does when nothing else happens is known exactly: each way to do something else is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from consistency.core.acks import RollCall
from consistency.etcd.store import EtcdStore
from consistency.etcd.transactions import Layout
from consistency.instance import auditor, membership
from consistency.instance.fleet import Fleet
from consistency.instance.last_looks import LastLooks
from consistency.instance.membership import Membership
from consistency.instance.recorder import Recorder
from consistency.instance.state import LocalState
from consistency.tasks import Worker
from simulation.afterwards import Afterwards
from simulation.ending import Ending as Act
from simulation.endings import Endings
from simulation.faults import FAULTS, kinds
from simulation.plan import Plan, Weather
from simulation.runs import planned, played
from torture.schedule import Step

pytestmark = pytest.mark.lasting

Ending = Callable[..., Any]


async def no_ending(*_: object) -> None:
    pass


async def nothing(*_: object, **__: object) -> None:
    pass


async def idle(_: object, worker: Worker) -> None:
    await worker.pause(60)


async def not_renewed(self: Membership) -> object:
    return self._place


def forgets_too_little(self: Fleet) -> None:
    self._roll.forget()


def calm(seed: int = 3) -> Plan:
    """Three instances, and nobody who asks them for anything."""
    plan = planned(seed)
    machines = [
        replace(each, options=replace(each.options, history_bytes=2**20, audit_interval=1.0, lease_ttl=3))
        for each in (plan.machines * 3)[:3]
    ]
    return replace(
        plan, seconds=1.0, bound=1.0, weather=Weather(), machines=tuple(machines), steps=(), asks=(), followers=(),
        onlookers=(), keepers=(), afterwards=(),
    )  # fmt: skip


def only(monkeypatch: pytest.MonkeyPatch, ending: Ending) -> None:
    """Of all that comes at the end of a run: what else is written there has audits tell of more."""
    monkeypatch.setattr(Endings, "play", ending)
    monkeypatch.setattr(Act, "run", nothing)
    monkeypatch.setattr(Afterwards, "ask", nothing)


def found(monkeypatch: pytest.MonkeyPatch, ending: Ending, seed: int = 3) -> str:
    only(monkeypatch, ending)
    return " ".join(played(calm(seed)).problems)


CROWDED = 5
"""A seed in which as many wait for a slot as there may be."""

ENDINGS = (no_ending, Endings._renewed, Endings._waiting, Endings._restored, Endings._restored_unheard)

BREAKS: tuple[tuple[Ending, object, str, object, str], ...] = (
    (no_ending, auditor, "perhaps_deleted", lambda *_: [], "had to tell ['outside/0', 'outside/1']"),
    (no_ending, auditor, "undone", lambda *_: set(), "had to tell ['outside/0', 'outside/2']"),
    (no_ending, auditor, "vanished", lambda *_: 0, "had to tell anything"),
    (no_ending, auditor, "Keeping", SimpleNamespace(by=lambda *_: None), "has left no record of it"),
    (no_ending, EtcdStore, "begin_past", nothing, "all records are believed as before"),
    (no_ending, Membership, "_give_back", nothing, "is held, and everybody has ended in order"),
    (Endings._renewed, LastLooks, "ours", lambda _: None, "had to tell ['outside/3']"),
    (Endings._renewed, Membership, "_say_that_we_leave", nothing, "that is not written down"),
    (no_ending, auditor, "_writes", lambda events: events, "had to tell"),
    (Endings._waiting, Membership, "_living_place", not_renewed, "waits for a slot: it is not seen"),
    (Endings._waiting, Membership, "_stop_waiting", nothing, "that is not written down"),
    (Endings._waiting, Recorder, "run", idle, "somebody has gone, and nobody has written it down"),
    (Endings._restored_unheard, Fleet, "forget", forgets_too_little, "was never there"),
    (Endings._restored_unheard, LocalState, "has_applied", lambda *_: True, "no version has told of it"),
)


@pytest.mark.parametrize("ending", ENDINGS, ids=[ending.__name__ for ending in ENDINGS])
def test_a_fleet_that_is_right_does_what_it_has_to_do(monkeypatch: pytest.MonkeyPatch, ending: Ending) -> None:
    assert found(monkeypatch, ending) == ""


@pytest.mark.parametrize(("ending", "owner", "name", "broken", "told"), BREAKS, ids=[break_[2] for break_ in BREAKS])
def test_what_else_a_fleet_does_is_found(
    monkeypatch: pytest.MonkeyPatch, ending: Ending, owner: object, name: str, broken: object, told: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert told in found(monkeypatch, ending)


def test_whoever_joins_a_crowd_that_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, Endings._waiting, CROWDED) == ""
    monkeypatch.setattr(membership, "WAITING", 1000)
    assert "waits for a slot: it is seen" in found(monkeypatch, Endings._waiting, CROWDED)


def test_a_synchronous_write_that_returns_too_soon_is_found_though_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RollCall, "complete", lambda *_: True)
    assert any("a synchronous write has returned" in problem for problem in played(planned(3)).problems)


def with_fault(plan: Plan, kind: str, at: float) -> Plan:
    beats = FAULTS[kind](Random(kind), kinds.Fleet(len(plan.machines), plan.members))
    steps = (Step(at + after, 1, kind, action, arguments) for after, action, arguments in beats)
    return replace(plan, seconds=plan.seconds + 8.0, steps=tuple(sorted(steps, key=lambda step: step.at)))


async def begins_as_if_nothing_were_new(self: auditor.Auditor, before: auditor.Baseline | None, history: int) -> None:
    self._goes_on_from(auditor.seen_at(await self._look(0, limit=1), history), before)


FOUND: tuple[tuple[str, Plan, object, str, object, str], ...] = (
    (
        "member key put by hand", calm(), Layout, "held_slot_of",
        lambda layout, raw, _: layout.slot_of(raw), "audits have told nothing",
    ),
    (
        "acknowledgements put by hand", replace(planned(3), steps=()), Layout, "acked_slot_of",
        lambda layout, raw, _: layout.slot_of(raw.removesuffix(b"/ack")) if raw.endswith(b"/ack") else None,
        "a synchronous write has returned",
    ),
    (
        "unaudited", calm(), auditor.Auditor, "_begin",
        begins_as_if_nothing_were_new, "no version has told of it",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "plan", "owner", "name", "broken", "told"), FOUND, ids=[each[0] for each in FOUND])
def test_a_fault_shows_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, kind: str, plan: Plan, owner: object, name: str, broken: object, told: str
) -> None:
    only(monkeypatch, no_ending)
    assert played(with_fault(plan, kind, 1.0)).problems == []
    monkeypatch.setattr(owner, name, broken)
    assert not any(told in problem for problem in played(plan).problems)
    assert any(told in problem for problem in played(with_fault(plan, kind, 1.0)).problems)
