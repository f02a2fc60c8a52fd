"""What the simulation makes of policies, of authors and of the past: it happens, and what is wrong with it is found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from consistency import AsyncDistributedCache
from consistency.core.model import Intent, Policy, Written
from consistency.core.past import Recorded
from consistency.core.records import NOBODY, Author, Authors, Keeping, VersionRecord
from consistency.core.rollbacks import Plan as Way
from consistency.core.store import Commit, OutcomeUnknown
from consistency.etcd.past import PastReads
from consistency.instance import planner, recall
from consistency.instance.guarded import Guard
from consistency.instance.parts import Parts
from consistency.instance.policies import Policies
from consistency.instance.recall import Recall
from simulation.asking import Asker
from simulation.demanded import POLICY
from simulation.guarded import Guarded
from simulation.historian import Historian
from simulation.keeper import Keeper
from simulation.plan import Plan
from simulation.policies import Approval
from simulation.runs import planned, played
from simulation.verdict import judge, judged_as_guarded
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.schedule import Step
from torture.truth import VERSION, Change, Truth

pytestmark = pytest.mark.lasting

SEEDS = (10, 25)
PUT_POLICY = Policies.put
INTEND = Guard._intend


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
    assert {order.author.by.split()[0] for run in runs for order in run.orders.values()} == {
        "afterwards",
        "client",
        "keeper",
    }


def counted(ask: Callable[..., Any], name: str, done: Counter[str]) -> Callable[..., Any]:
    async def asked(self: Asker, *arguments: Any) -> None:
        await ask(self, *arguments)
        done[name] += 1

    return asked


async def agree(*arguments: object) -> None:
    del arguments


async def put_over_anything(policies: Policies, text: bytes, if_match: int | None, author: Author) -> Written:
    del if_match
    return await PUT_POLICY(policies, text, None, author)


async def put_unsigned(policies: Policies, text: bytes, if_match: int | None, author: Author) -> Written:
    del author
    return await PUT_POLICY(policies, text, if_match, NOBODY)


async def as_it_is(known: Policies, deadline: float) -> Policy:
    del deadline
    return known._state.policy


async def lose_the_answer(guard: Guard, intent: Intent, changes: Sequence[Any], *others: Any) -> Commit:
    if changes:  # not a policy's: keys are to be guarded
        raise OutcomeUnknown("of the intent")
    return await INTEND(guard, intent, changes, *others)


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
    judged = [read for read in judged_as_guarded(run) if read.returned < run.begun + plan.seconds]
    assert [read for read in judged if read.returned < run.begun + 4.0]
    assert ([read for read in judged if read.invoked > run.begun + 4.5] == []) == left_out


def test_nobody_is_asked_to_agree_under_a_policy_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """He would agree, since he can't tell."""
    overwritten = Step(4.0, 1, "policy overwritten", "overwrite_policy", ())
    mended = Step(7.0, 1, "policy overwritten", "mend_policy", (True,))
    plan = replace(planned(4), steps=(overwritten, mended), keepers=())
    assert judge(played(plan)) == []
    monkeypatch.setattr(Policies, "mended", as_it_is)
    assert "policy broken" in {violation.check for violation in judge(played(plan))}


READ = Operation(1, 1, "", Remembers.NOTHING, 0, Kind.READ, Level.DEFAULT, "t/hot-0", None, 0.0, 0.0, Outcome.OK)


def changed(revision: int, guarded: list[str] | None, by: str) -> list[Change]:
    """A policy, put at so many seconds by the service, or by hand. guarded: None: nobody can read it."""
    text = "nonsense" if guarded is None else json.dumps({"guarded": guarded})
    version = VersionRecord(f"{revision}", frozenset(), "policy", policy=True).encode().decode()
    put = Change(revision, POLICY, text, 1, float(revision))
    return [put, Change(revision, VERSION, version, 1, float(revision))] if by == "service" else [put]


@pytest.mark.parametrize(
    ("policies", "judged"),
    [
        ([([], "service")], ()),
        ([(["t/"], "service")], (1, 2, 3)),
        ([(["t/"], "service"), ([], "service"), (["t/h"], "service")], (1, 3)),
        ([(["t/"], "service"), (["t/", "u/"], "service"), (None, "hand")], (1, 2, 3)),
        ([(["t/"], "hand"), (["t/"], "service"), (["t/", "u/"], "service")], (3,)),
        ([(["t/"], "service"), (["u/"], "hand"), (["u/"], "service")], (1,)),
    ],
    ids=["never", "always", "with a gap", "and cannot be read", "by hand first", "no more by hand"],
)
def test_a_key_is_guarded_from_a_policy_that_had_it_held_until_one_that_leaves_it_out(
    policies: list[tuple[list[str] | None, str]], judged: tuple[int, ...]
) -> None:
    """A read in the second after each of the policies."""
    changes = [each for at, policy in enumerate(policies, start=1) for each in changed(at, *policy)]
    guarded = Guarded(Truth(changes))
    assert tuple(at for at in (1, 2, 3) if guarded(replace(READ, invoked=at + 0.2, returned=at + 0.7))) == judged
    assert not guarded(replace(READ, invoked=0.5, returned=1.5))


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
        (Policies, "put", put_over_anything, "a policy took the place of"),
        (Policies, "put", put_unsigned, "policy signed by another"),
        (Guard, "_intend", lose_the_answer, "unknown, though nothing was sent"),
    ],
    ids=[
        "agree to anything", "sign for others", "leave no record", "tell less of a history", "tell of nothing",
        "scan nothing", "plan less", "don't read a policy",
        "tell of no policy", "put over any policy", "put unsigned", "say that nobody knows",
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Callable[..., Any], told: str
) -> None:
    """Mostly by the first seeds. A run depends on the order of sets, too, which differs from process to process."""
    monkeypatch.setattr(owner, name, broken)
    seeds = (*SEEDS, *range(1, 60))
    assert any(told in f"{each.check}: {each.claim}" for seed in seeds for each in judge(played(calm(seed))))
