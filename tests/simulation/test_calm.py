"""The calm end of a run finds what only costs: a read that could have been a hit, a proof that nobody needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency.core.decisions import Window
from consistency.core.freshness import Freshness
from consistency.core.holds import Holds
from consistency.core.known import Entry, OwnWrites
from consistency.core.store import Survey
from consistency.instance import state as state_of
from consistency.instance.prover import Prover
from consistency.instance.read_batches import ReadBatches
from consistency.instance.state import LocalState
from simulation.calm import Calm
from simulation.plan import Plan
from simulation.runs import planned, played

pytestmark = pytest.mark.lasting

SEED = 3


def calm(seed: int = SEED) -> Plan:
    """A run that is nothing but its end."""
    plan = replace(planned(seed), steps=(), asks=(), followers=(), onlookers=(), keepers=())
    return replace(plan, seconds=0.5, machines=tuple(young(each) for each in plan.machines))


def young(machine: Any) -> Any:
    return replace(machine, options=replace(machine.options, max_age=3.0 if machine.booted % 2 < 1 else 300.0))


def found(seed: int = SEED) -> str:
    return " ".join(played(calm(seed)).problems)


def mark_everything(state: LocalState, keys: object, revision: int) -> int:
    del keys
    return sum(state._entries.invalidate(key, revision) for key in list(state._entries))


def never_old(window: Window, entry: Entry, now: float, min_revision: int) -> bool:
    return admits(window, entry._replace(loaded_at=now), now, min_revision)


def forget_at_a_reconnect(fresh: Freshness) -> None:
    fresh.epoch += 1
    fresh.floor = fresh.horizon + 1


def forget_at_a_gap(state: LocalState, survey: Survey, ticket: object) -> None:
    state._entries.clear()
    rebase(state, survey, ticket)


def keep_across_slots(fresh: Freshness) -> None:
    floor = fresh.floor
    leave(fresh)
    fresh.floor = floor


def own_write_hides_itself(writes: OwnWrites, over: int, key: str, at: int = 0) -> bool:
    del at
    return since(writes, over, key)


def keep_leased(need: Any, found: Any, at: int, now: float) -> Entry | None:
    if found.document is not None:
        return Entry(found.document.data, found.document.mod_revision, at, now)
    return learned(need, found, at, now)


def join_alone(batches: ReadBatches, need: Any, deadline: float, **_: Any) -> Any:
    batches._calls._open = None
    return batches.join(need, deadline)


def nothing(*_: object, **__: object) -> None: ...


admits, leave, since = Window.admits, Freshness.leave, OwnWrites.since
rebase: Callable[..., None] = LocalState._rebase
learned = state_of._learned

BREAKS: tuple[tuple[Any, str, Any, str], ...] = (
    (LocalState, "_mark", mark_everything, "could have been a hit, since it is held"),
    (Window, "admits", never_old, "was not loaded whole again"),
    (Prover, "_due_in", lambda *_: 0.0, "and it proved "),
    (Freshness, "resume", forget_at_a_reconnect, "a stream that goes on forgets nothing"),
    (LocalState, "_rebase", forget_at_a_gap, "was not asked for by its revision"),
    (Freshness, "leave", keep_across_slots, "was served from before the slot was lost"),
    (OwnWrites, "since", own_write_hides_itself, "it was read while it was written"),
    (state_of, "_learned", keep_leased, "a document with a lease was kept in memory"),
    (ReadBatches, "share", join_alone, "30 readers of t/warm-5 at one moment were "),
    (Holds, "release", nothing, "a policy that was put touches no document"),
    (LocalState, "_learn_policy", nothing, "it goes by the policy of 0"),
)


@pytest.mark.parametrize(("owner", "name", "broken", "told"), BREAKS, ids=[name for _, name, _, _ in BREAKS])
def test_what_only_costs_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert told in found()


def test_what_is_as_it_should_be_is_not_accused_and_every_act_is_played(monkeypatch: pytest.MonkeyPatch) -> None:
    acts = list[list[str]]()
    play = Calm.play

    async def played_to_its_end(act: Calm) -> None:
        await play(act)
        acts.append(act.acts)

    monkeypatch.setattr(Calm, "play", played_to_its_end)
    assert found() == ""
    assert [len(each) for each in acts] == [10]
