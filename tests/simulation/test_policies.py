"""What the simulation makes of policies, of authors and of the past: it happens, and what is wrong with it is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency import AsyncDistributedCache
from consistency.core.authors import Author, Authors
from consistency.core.model import Policy
from consistency.core.past import Keeping, Recorded
from consistency.core.rollbacks import Plan as Way
from consistency.etcd.past import PastReads
from consistency.instance import planner, recall
from consistency.instance.parts import Parts
from consistency.instance.recall import Recall
from simulation.asking import Asker
from simulation.historian import Historian
from simulation.keeper import Keeper
from simulation.plan import Plan
from simulation.policies import Approval
from simulation.runs import planned, played
from simulation.verdict import judge, judged_as_guarded
from torture.schedule import Step

SEEDS = (10, 25)


def calm(seed: int) -> Plan:
    """Without faults, so that much is done."""
    return replace(planned(seed), steps=())


def test_policies_come_and_refuse_writes_and_the_past_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that these clients can ask for is asked for, and mostly comes to something."""
    done = Counter[str]()
    asks = {
        Historian: ("_past", "_history", "_scan"),
        Keeper: ("_put_policy", "_read_policy", "_roll_back", "_write", "_compact"),
    }
    for kind, names in asks.items():
        for name in names:
            monkeypatch.setattr(kind, name, counted(getattr(kind, name), name, done))
    runs = [played(calm(seed)) for seed in SEEDS]
    assert [judge(run) for run in runs] == [[], []]
    assert min(done[name] for names in asks.values() for name in names) >= 20, done
    assert True in {policy.done for run in runs for policy in run.policies}
    assert [operation for run in runs for operation in run.history if operation.status == 422]
    assert {order.author.by.split()[0] for run in runs for order in run.orders.values()} == {"client", "keeper"}


def counted(ask: Callable[..., Any], name: str, done: Counter[str]) -> Callable[..., Any]:
    async def asked(self: Asker, *arguments: Any) -> None:
        await ask(self, *arguments)
        done[name] += 1

    return asked


async def agree(*arguments: object) -> None:
    del arguments


async def tell_of_no_policy(_: AsyncDistributedCache) -> Policy:
    return Policy.none()


def by_somebody(author: Author) -> Authors:
    return Authors(((replace(author, by="somebody"), None),))


def without_the_last(read: Callable[..., Any]) -> Callable[..., Any]:
    async def shorter(self: Recall, *arguments: Any) -> Any:
        return (await read(self, *arguments))[:-1]

    return shorter


def without_its_last_step(made: Callable[..., Way]) -> Callable[..., Way]:
    def shorter(*arguments: Any) -> Way:
        plan = made(*arguments)
        return replace(plan, steps=plan.steps[:-1])

    return shorter


@pytest.mark.parametrize("left_out", [False, True])
def test_keys_count_as_guarded_unless_a_policy_put_by_hand_leaves_them_out(left_out: bool) -> None:
    """1. A policy guards them; 2. somebody puts nonsense in its place; 3. then one that guards them, too, or none."""
    plan = planned(4)
    overwritten = Step(4.0, 1, "policy overwritten", "overwrite_policy", ())
    mended = Step(4.5, 1, "policy overwritten", "mend_policy", (not left_out,))
    run = played(replace(plan, steps=(overwritten, mended), keepers=()))
    assert run.guarded == plan.guarded != ()
    assert judge(run) == []
    assert (judged_as_guarded(run) == []) == left_out


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (Approval, "__call__", agree, "policy broken"),
        (Authors, "of_all", by_somebody, "signed by another"),
        (Keeping, "by", lambda *_: None, "no record"),
        (Recall, "_read", without_the_last(Recall._read), "history of "),
        (recall, "at", lambda *_: Recorded(None), "was told as "),
        (PastReads, "_documents", lambda *_: (), "in etcd was "),
        (planner, "_planned", without_its_last_step(planner._planned), "the plan of "),
        (Parts, "_read_policy_soon", lambda *_: None, "it goes by a policy that is old"),
        (AsyncDistributedCache, "read_policy", tell_of_no_policy, "a policy of 0 was in force"),
    ],
    ids=[
        "agree to anything", "sign for others", "leave no record", "tell less of a history", "tell of nothing",
        "scan nothing", "plan less", "don't read a policy",
        "tell of no policy",
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Callable[..., Any], told: str
) -> None:
    """Mostly by the first seeds. A run depends on the order of sets, too, which differs from process to process."""
    monkeypatch.setattr(owner, name, broken)
    seeds = (*SEEDS, *range(1, 60))
    assert any(told in f"{each.check}: {each.claim}" for seed in seeds for each in judge(played(calm(seed))))
