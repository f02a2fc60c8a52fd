"""The past of keys that others write, too: all stories are played, and each clause that is left out shows in one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consistency.core.past import Current, KeyPast, Recorded
from consistency.instance import planner, recall
from consistency.instance.hindsight import Hindsight
from consistency.instance.state import LocalState
from consistency.instance.trimmer import Trimmer
from simulation.bypassed import Bypassed
from simulation.plan import AFTERWARDS, Plan
from simulation.runs import planned, played
from simulation.verdict import judge

pytestmark = pytest.mark.lasting


def alone(seed: int = 4) -> Plan:
    """The last looks, and nothing before. One instance remembers little."""
    plan = planned(seed)
    machines = tuple(
        replace(machine, options=replace(machine.options, history_bytes=32_000 if number else 3_200))
        for number, machine in enumerate(plan.machines)
    )
    return replace(
        plan, machines=machines, steps=(), asks=(), followers=(), onlookers=(), keepers=(), afterwards=AFTERWARDS[:1]
    )


def test_all_moments_are_asked_for_and_the_unbroken_code_tells_nothing_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    play = Bypassed.play

    async def counted(self: Bypassed) -> None:
        await play(self)
        told.append(self.asked)

    monkeypatch.setattr(Bypassed, "play", counted)
    assert judge(played(alone())) == []
    assert told == [14]


def at_once(past: KeyPast, revision: int) -> Any:
    """As if each record stood until the next one."""
    if past.current is not None and past.current.mod_revision <= revision:
        return Current()
    before = [trace for trace in past.traces if trace.mod_revision <= revision]
    return Recorded(before[-1] if before and before[-1].op == "p" else None)


async def nothing(*_: object) -> None:
    return None


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (recall, "at", at_once, "was told as"),
        (Hindsight, "look", lambda *_: None, "both/overwritten at"),
        (Trimmer, "_walk", nothing, "more than one record is kept"),
        (planner, "_no_record", None, "leaves out what has been deleted since"),
        (LocalState, "explains", lambda *_: False, "doubted without cause"),
    ],
    ids=["believe each record", "don't look back", "don't look at all records", "plan by names", "doubt everything"],
)
def test_what_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str) -> None:
    if broken is None:
        planned_by_names(monkeypatch)
    else:
        monkeypatch.setattr(owner, name, broken)
    plan = alone()
    if told == "doubted without cause":
        plan = replace(planned(4), steps=(), followers=(), onlookers=(), afterwards=())
    assert told in "\n".join(f"{each.check}: {each.claim}" for each in judge(played(plan)))


def planned_by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planner._planned
    monkeypatch.setattr(planner, "_planned", lambda *given: replace(made(*given), unknowable=()))
