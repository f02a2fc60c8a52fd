"""Faults at the moments at which they hurt most find what else hardly shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency.core.decisions import Ticket
from consistency.core.model import Applied
from consistency.core.store import OutcomeUnknown, Unavailable
from consistency.instance.read_batches import Need, Part
from consistency.instance.reads import Reads
from consistency.instance.state import LocalState
from consistency.instance.writes import GroupCommit
from simulation.drawing import plan
from simulation.faults import FAULTS
from simulation.runs import played
from simulation.verdict import judge

pytestmark = pytest.mark.lasting

SEEDS = 60
"""As many are tried until the break is found. Each case begins with one that finds it, as plans are drawn now."""


def nothing(*_: object) -> None:
    pass


def as_if_asked_now(fetch: Callable[..., Any]) -> Callable[..., Any]:
    async def fetched(reads: Reads, ticket: Ticket, needs: tuple[Need, ...], deadline: float) -> list[Part]:
        parts: list[Part] = await fetch(reads, ticket, needs, deadline)
        for part in parts:
            part.ticket = reads._state.ticket()
        return parts

    return fetched


def as_if_not_done(put: Callable[..., Any]) -> Callable[..., Any]:
    async def answered(group: GroupCommit, *arguments: Any) -> Applied:
        try:
            applied: Applied = await put(group, *arguments)
        except OutcomeUnknown as error:
            if "deadline" not in str(error):
                raise
            raise Unavailable("nothing was sent") from error
        return applied

    return answered


@pytest.mark.parametrize(
    ("first", "fault", "owner", "name", "broken", "told"),
    [
        (3, "unknown and untold", LocalState, "may_have_written", nothing, "own write not seen"),
        (23, "paused while writing", GroupCommit, "put", as_if_not_done(GroupCommit.put), "ghost write"),
        (1, "answered late, and untold", Reads, "_fetch", as_if_asked_now(Reads._fetch), "dishonest silence"),
    ],
    ids=["unknown", "paused", "late"],
)
def test_a_fault_finds_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch,
    first: int,
    fault: str,
    owner: Any,
    name: str,
    broken: Callable[..., Any],
    told: str,
) -> None:
    monkeypatch.setattr(owner, name, broken)
    only = {fault: FAULTS[fault]}
    seeds = range(first, first + SEEDS)
    plans = (replace(plan(seed, faults=only), cut_short=True) for seed in seeds)  # what comes at the end finds more
    found = (violation.check for each in plans for violation in judge(played(each)))
    assert told in found
