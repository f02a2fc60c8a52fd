"""The acts at the end of a run find what they are for: late answers, the last known, what a lost history leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency.core.freshness import Freshness
from consistency.core.holds import Holds
from consistency.core.known import History, NearCache, OwnWrites, Standing
from consistency.core.model import Demand
from consistency.instance.state import LocalState
from simulation.away import Away
from simulation.plan import Plan
from simulation.races import Races
from simulation.restoring import Restoring
from simulation.runs import planned, played
from simulation.world import World

pytestmark = pytest.mark.lasting

ENDINGS = (Races, Away, Restoring)
SEEDS = range(1, 13)
"""The stories of a run are drawn by its seed."""


def only_its_end(seed: int) -> Plan:
    plan = replace(planned(seed), steps=(), asks=(), followers=(), onlookers=(), keepers=(), guarded=("t/hot-0",))
    return replace(plan, seconds=0.5, machines=plan.machines[:3])


def found(monkeypatch: pytest.MonkeyPatch, ending: type, told: str) -> bool:
    """Whether one of the seeds finds it, in this act."""
    make = World._ending
    monkeypatch.setattr(World, "_ending", lambda world, kind: make(world, kind) if kind is ending else nobody(world))
    return any(told in problem for seed in SEEDS for problem in played(only_its_end(seed)).problems)


class nobody:  # noqa: N801
    """In place of an act."""

    def __init__(self, world: World) -> None:
        del world

    async def run(self) -> None:
        """Nothing."""


def nothing(*_: object, **__: object) -> None: ...


def proven_by_whoever(fresh: Freshness, ticket: Any, answer: Any) -> Any:
    return judge(fresh, replace(ticket, lease=fresh.lease), replace(answer, member=fresh.lease))


def contradicts_what_was_seen_since(fresh: Freshness, ticket: Any, header: Any) -> str:
    return contradiction(fresh, replace(ticket, seen=fresh.seen), header)


def follows_what_is_overtaken(state: LocalState, key: str, ticket: Any, bound: float) -> bool:
    del key
    return bool(state._clock() < ticket.sent_at + bound)


def told_though_it_was_named(fresh: Freshness, entry: Any, now: float, demand: Demand) -> Any:
    return last_known(fresh, entry._replace(stale=False) if entry else None, now, demand)


def told_unasked(fresh: Freshness, entry: Any, now: float, demand: Demand) -> Any:
    return last_known(fresh, entry, now, demand._replace(stale_if_error=30.0))


def forget_with_the_slot(fresh: Freshness) -> None:
    leave(fresh)
    fresh.known_from = fresh.floor


def covered_by_the_last_proof(fresh: Freshness, entry: Any) -> float | None:
    del entry
    return fresh.proved_at


def known_across_a_gap(fresh: Freshness, *arguments: Any) -> None:
    before = fresh.known_from
    rebase(fresh, *arguments)
    fresh.known_from = before


def known_though_all_was_named(fresh: Freshness, event: Any) -> bool:
    before = fresh.known_from
    applied = apply(fresh, event)
    fresh.known_from = before
    return applied


def ours_whatever_the_nonce(history: History, seen: Any, header: int) -> Standing:
    found = standing(history, seen, header)
    return Standing.OURS if found in (Standing.FOREIGN, Standing.FORGOTTEN) else found


def lower_revisions_are_all_right(fresh: Freshness, ticket: Any, header: Any) -> str:
    del fresh, ticket, header
    return ""


def keep_the_policy(state: LocalState, detail: str) -> None:
    before = state._policy, state._policy_changed
    turn_back(state, detail)
    state._policy, state._policy_changed = before


def forget_what_named_all(history: History, start: Any, events: Any) -> bool:
    before = history.all_named
    done = lengthen(history, start, events)
    history.all_named = before
    return done


def mark_what_is_as_new(cache: NearCache, key: str, revision: int) -> bool:
    return invalidate(cache, key, revision + 1)


invalidate, lengthen = NearCache.invalidate, History.lengthen
judge, contradiction, last_known, leave = (
    Freshness.judge,
    Freshness.contradiction,
    Freshness.last_known,
    Freshness.leave,
)
rebase, standing = Freshness.rebase, History.standing
apply: Callable[..., bool] = Freshness.apply
turn_back: Callable[..., None] = LocalState._turn_back

BREAKS: tuple[tuple[type, Any, str, Any, str], ...] = (
    (Races, LocalState, "may_follow", follows_what_is_overtaken, "and then read"),
    (Races, OwnWrites, "since", lambda *_: False, "and then read"),
    (Races, Holds, "start_over", nothing, "is being written, and was served from memory"),
    (Races, History, "lengthen", forget_what_named_all, "as if version "),
    (Races, NearCache, "invalidate", mark_what_is_as_new, "and then the write was answered"),
    (Races, Freshness, "judge", proven_by_whoever, "by a proof from before the slot was won"),
    (Races, Freshness, "contradiction", contradicts_what_was_seen_since, "late for another history's"),
    (Away, Freshness, "last_known", told_though_it_was_named, "a version has named it"),
    (Away, Freshness, "last_known", told_unasked, "nobody had asked for that"),
    (Away, Freshness, "leave", forget_with_the_slot, "was forgotten with the slot"),
    (Away, Freshness, "_covered_at", covered_by_the_last_proof, "s old, though its slot was lost at"),
    (Away, Freshness, "rebase", known_across_a_gap, "may have named it in a gap"),
    (Away, Freshness, "apply", known_though_all_was_named, "a version has named everything"),
    (Restoring, History, "standing", ours_whatever_the_nonce, "and was served as"),
    (Restoring, Freshness, "contradiction", lower_revisions_are_all_right, "the horizon went back"),
    (Restoring, LocalState, "_turn_back", keep_the_policy, "it goes by the policy of"),
)


@pytest.mark.parametrize(
    ("ending", "owner", "name", "broken", "told"), BREAKS, ids=[f"{name} {told}" for _, _, name, _, told in BREAKS]
)
def test_a_break_is_found_by_the_act_that_is_for_it(
    monkeypatch: pytest.MonkeyPatch, ending: type, owner: type, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert found(monkeypatch, ending, told)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_as_it_should_be_is_not_accused(monkeypatch: pytest.MonkeyPatch, ending: type) -> None:
    assert not found(monkeypatch, ending, "")
