"""What the simulation sees of clients who follow changes: who is told wrongly, late, or for ever the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consistency import Token, Told
from consistency.core.feed import NOTHING_TOLD, ChangedKey, Telling
from consistency.core.known import History
from consistency.instance import state_of_changes
from consistency.instance.crowd import Crowd
from consistency.instance.feed import Feed
from consistency.instance.followers import Followers
from consistency.instance.following import Following
from consistency.instance.shared_past import SharedPast
from simulation import play
from simulation.extras import HIDING
from simulation.follower import Follower
from simulation.plan import AFTERWARDS, BYSTANDERS, Plan
from simulation.promised import wrong_with
from simulation.record import Run
from simulation.runs import planned, played
from torture.history import Kind

pytestmark = pytest.mark.lasting

HERE = Token(7, "0" * 32)
THERE = Token(9, "1" * 32)
SOMETHING = Telling((ChangedKey("t/a", "put", 8, b"1"),))
REST = replace(THERE, place=b"t/b")


@pytest.mark.parametrize(
    ("told", "token", "wrong"),
    [
        (Told(HERE, THERE, 0.9, NOTHING_TOLD), HERE, ""),
        (Told(HERE, THERE, 1.0, NOTHING_TOLD), HERE, "nothing has changed"),
        (Told(HERE, THERE, None, NOTHING_TOLD), HERE, "nothing has changed"),
        (Told(HERE, THERE, 5.0, SOMETHING), HERE, ""),
        (Told(REST, THERE, None, NOTHING_TOLD), REST, ""),
        (Told(THERE, HERE, 0.1, SOMETHING), THERE, "it goes back"),
        (Told(None, HERE, 0.1, SOMETHING, reset="too much"), THERE, "it goes back"),
        (Told(None, THERE, 1.2, SOMETHING, reset="asked"), None, ""),
        (Told(None, THERE, 1.3, SOMETHING, reset="asked"), None, "a whole scope"),
        (Told(None, THERE, None, SOMETHING, reset="asked"), None, "a whole scope"),
        (Told(None, THERE, 0.1, SOMETHING, reset="compacted"), REST, "it begins anew"),
        (Told(None, Token(10, "1" * 32), 0.1, SOMETHING, reset="compacted"), REST, ""),
    ],
)
def test_what_cannot_be_right_is_seen_at_once(told: Told, token: Token | None, wrong: str) -> None:
    found = wrong_with(told, token, bound=1.0, elapsed=0.25)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)


def calm(seed: int, **left: Any) -> Plan:
    return replace(planned(seed), steps=(), onlookers=(), keepers=(), **left)


def quiet(seed: int, **left: Any) -> Plan:
    """Nobody asks for anything, but for whom the test is."""
    return calm(seed, **{"asks": (), "followers": (), "afterwards": (), **left})


def roomy(plan: Plan) -> Plan:
    """Its instances remember much, and hold what they have read."""
    options = (
        replace(each.options, history_bytes=320_000, max_entries=1000, max_bytes=10**6) for each in plan.machines
    )
    machines = tuple(replace(each, options=own) for each, own in zip(plan.machines, options, strict=True))
    return replace(plan, machines=machines)


ROOMY = roomy(quiet(4, afterwards=AFTERWARDS[1:]))


def problems(run: Run) -> str:
    return "\n".join(run.problems)


async def read_for_each(past: SharedPast, revision: int) -> None:
    await past._read(revision)


@pytest.mark.parametrize(
    ("owner", "name", "broken", "told"),
    [
        (Crowd, "_end", lambda *_: None, "clients that wait for a change"),
        (SharedPast, "read", read_for_each, "is read more than once at the same time"),
        (History, "all_named_after", lambda *_: False, "a version has named nothing"),
        (Feed, "is_proven", lambda _: True, "nothing has changed, it says, by a proof that is"),
        (Followers, "has_seen_nothing_since", lambda each, at: each.touched <= at, "keys are never told"),
        (state_of_changes, "is_value_at", lambda *_: True, "was told as of"),
    ],
    ids=["a crowd", "one past for many", "a version that names nothing", "no proof", "far behind", "values"],
)
def test_what_seldom_comes_by_chance_comes_when_all_faults_are_over(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, broken: Any, told: str
) -> None:
    monkeypatch.setattr(owner, name, broken)
    assert told in problems(played(ROOMY))


def test_the_unbroken_code_is_told_of_nothing_in_those_moments() -> None:
    assert problems(played(ROOMY)) == ""


def test_an_age_that_is_too_young_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a proof that came after what is told is taken for its own."""
    monkeypatch.setattr(Feed, "age_of", lambda *_: 0.0)
    assert "as the newest of" in problems(played(calm(5, afterwards=())))


def forgetful(plan: Plan) -> Plan:
    """An instance of it, and others are not."""
    bytes_ = (3_200, *(32_000 for _ in plan.machines[1:]))
    machines = (
        replace(machine, options=replace(machine.options, history_bytes=each))
        for machine, each in zip(plan.machines, bytes_, strict=True)
    )
    return replace(plan, machines=tuple(machines))


def test_bystanders_hold_at_the_end_what_others_have_written(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = quiet(4, followers=BYSTANDERS)
    assert problems(played(plan)) == ""
    monkeypatch.setattr(Follower, "_take", unlike(Follower._take))
    assert "holds at the end" in problems(played(plan))


def unlike(take: Callable[..., None]) -> Callable[..., None]:
    def less(self: Follower, instance: Any, invoked: float, told: Told) -> None:
        take(self, instance, invoked, replace(told, telling=Telling(told.changes[1:])))

    return less


def test_a_follower_that_goes_back_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a reset of a moment ago is told to who has been told of more."""
    reset = Following._reset

    async def anew(self: Following, cause: str, at_least: int = 0) -> Told:
        token, self.token = self.token, None  # nobody is to remember how far it was
        try:
            return await reset(self, cause, at_least)
        except BaseException:
            self.token = token
            raise

    plan = forgetful(calm(2, afterwards=()))
    assert problems(played(plan)) == ""
    monkeypatch.setattr(Following, "_reset", anew)
    assert "it goes back from" in problems(played(plan))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the alarm may come in a collection
def test_a_step_that_never_ends_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spin(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr(play, "A_STEP", 0.3)
    monkeypatch.setattr(Following, "next", spin)
    assert "a step has not ended" in problems(played(quiet(4, followers=(0,))))


def test_bursts_come_while_versions_are_kept_from_instances() -> None:
    """So many keys that a client which follows them can't be told of all at once."""
    bursts = hidden = 0
    for plan in map(planned, range(1, 20)):
        moments = [step.at for step in plan.steps if step.action in HIDING]
        batches = [ask for ask in plan.asks if ask.kind is Kind.BATCH]
        for ask in batches:
            burst = ask.client == batches[-1].client
            bursts += burst
            hidden += burst and any(0 < ask.at - moment < 1 for moment in moments)
    assert bursts > 20
    assert hidden > 5
