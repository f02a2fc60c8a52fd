"""What a fleet is asked for when all is well, and when all is quiet: what is wrong with it then is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency.core.acks import RollCall
from consistency.instance import writes
from consistency.instance.parts import Parts
from consistency.instance.patrol import Patrol
from consistency.instance.prover import Prover
from consistency.instance.state import LocalState
from consistency.instance.writes import Group
from consistency.tasks import SharedCall, SharedCalls
from simulation import quiet
from simulation.plan import Plan
from simulation.runs import planned, played
from simulation.verdict import judge
from torture.history import Kind

pytestmark = pytest.mark.lasting

SEED = 4
"""With guarded keys."""


def still(seed: int = SEED) -> Plan:
    """Nobody asks for anything before the end, and nothing befalls anybody."""
    return replace(planned(seed), seconds=1.0, steps=(), asks=(), followers=(), onlookers=(), keepers=(), fifo=True)


def problems(plan: Plan) -> list[str]:
    return [f"{violation.check}: {violation.claim}" for violation in judge(played(plan))]


async def doubted(*_: object) -> bool:
    return False


def nothing(*_: object) -> None:
    pass


def never(*_: object, **__: object) -> bool:
    return False


def a_lane(calls: SharedCalls[Any], _: object) -> bool:
    return len(calls._under_way) < calls._lanes


def go_closed(go: Callable[..., None]) -> Callable[..., None]:
    def gone(calls: SharedCalls[Any], call: Any) -> None:
        go(calls, call)
        calls._open = None

    return gone


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (writes, "MOST_TRIES", 1, "could not put kept/"),
        (RollCall, "complete", never, "waited out the bound"),
        (LocalState, "may_follow", never, "was loaded "),
        (SharedCalls, "_go", go_closed(SharedCalls._go), "batches for a crowd"),
        (Group, "has_room_for", lambda group, _: not group.puts, "versions for 20 puts"),
    ],
    ids=["try once", "wait out the bound", "share no load", "close batches early", "put alone"],
)
def test_what_is_refused_or_costs_too_much_when_all_is_well_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(quiet, "CHANCE", 0.0)
    monkeypatch.setattr(owner, name, broken)
    assert any(told in problem for problem in problems(still()))


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (Prover, "_is_unseen", never, "did not tell of its own slot"),
        (Patrol, "_has_missed", doubted, "has gone"),
        (Parts, "_watch_again", nothing, "did not tell of its own slot"),
    ],
    ids=["don't ask after our slot", "don't ask after others", "restart no watch"],
)
def test_watches_that_are_silent_and_left_alone_are_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(quiet, "CHANCE", 1.0)
    monkeypatch.setattr(owner, name, broken)
    assert any(told in problem for problem in problems(still()))


def test_keys_that_stay_held_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their write is over: etcd has no such intent."""
    monkeypatch.setattr(quiet, "CHANCE", 0.0)
    monkeypatch.setattr(LocalState, "held", property(lambda _: ("gone",)))
    assert any("keys are held, and nobody writes" in problem for problem in problems(still()))


def hasty(seed: int) -> Plan:
    """Clients who mostly give up while others write, too."""
    plan = planned(seed)
    crowds = [ask for ask in plan.asks if ask.kind is Kind.PUT]
    return replace(plan, steps=(), asks=tuple(replace(ask, patience=0.01) for ask in crowds))


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (Group, "remove", nothing, "a put waits for company, and its client has gone"),
        (SharedCall, "waiting", 1, "version of nothing"),
    ],
    ids=["leave it there", "send it"],
)
def test_what_is_done_for_clients_who_have_gone_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(quiet, "CHANCE", 0.0)
    monkeypatch.setattr(owner, name, broken)
    assert any(told in problem for seed in range(1, 40) for problem in problems(hasty(seed)))
