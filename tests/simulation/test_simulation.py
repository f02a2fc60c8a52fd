"""The program `simulation`: the same seed is the same run, what is broken is found, told, and made short."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from consistency.core.feed import ChangedKey, Told
from consistency.core.freshness import Freshness
from consistency.etcd import readings
from consistency.instance import past_values
from consistency.instance.auditor import Auditor
from consistency.instance.state import LocalState
from consistency.instance.writes import Writes
from simulation.drawing import plan
from simulation.faults import FAULTS
from simulation.follower import SCOPES, Follower
from simulation.instance import Instance
from simulation.plan import FOLLOWERS, KEYS, VISIBLE
from simulation.processes import Processes
from simulation.record import Run, digest
from simulation.runs import planned, played, summaries
from simulation.shrink import Search
from simulation.story import story
from simulation.surroundings import SimulatedEtcd
from simulation.verdict import judge
from torture.history import Kind, Level, Operation, Outcome, Remembers

pytestmark = pytest.mark.lasting

PROJECT = Path(__file__).parents[2]

SEEDS = tuple(dict.fromkeys((3, 8, 5, 10, 1, 18, 22, *range(1, 81))))
"""Short runs, one after the other until a deliberate break is found: most are in the first."""


def command(*arguments: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        cwd=PROJECT, env={"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("seed", ["5", "12"])
def test_a_seed_is_the_same_run_in_every_process(seed: str) -> None:
    """Whatever the order of sets of strings, and whichever address an object has. In seed 12 it matters in which order
    a set of names is gone through."""
    one, other = (command("--seed", seed, hash_seed=each) for each in ("1", "2"))
    assert one.stderr == other.stderr == ""
    assert "every promise was kept" in one.stdout
    assert one.stdout == other.stdout


@pytest.fixture(scope="module")
def third() -> str:
    """What seed 3 is, to be compared with."""
    return digest(played(planned(3)))


def test_a_seed_is_the_same_run_after_others(third: str) -> None:
    assert digest(played(planned(1))) != third
    assert digest(played(planned(3))) == third


def test_looking_on_changes_nothing(third: str) -> None:
    """The story of a run is that of the very run."""
    told: list[object] = []
    assert digest(played(planned(3), lambda *what: told.append(what))) == third
    assert told


def test_clients_do_all_that_clients_can_do_and_every_fault_comes() -> None:
    """In the seeds that CI always runs."""
    plans = [planned(seed) for seed in range(1, 60)]
    assert {step.kind for each in plans for step in each.steps} == FAULTS.keys()
    asked = {(ask.kind, ask.level) for each in plans for ask in each.asks}
    reads = {(Kind.READ, level) for level in Level if level is not Level.SYNC}
    writes = {(kind, level) for kind in (Kind.PUT, Kind.DELETE, Kind.BATCH) for level in (Level.DEFAULT, Level.SYNC)}
    assert asked == reads | writes
    assert {len(each.machines) for each in plans} == set(range(2, 9))


def test_every_step_can_be_done() -> None:
    for name in {step.action for seed in range(60) for step in planned(seed).steps}:
        assert callable(getattr(Processes, name, None) or getattr(SimulatedEtcd, name, None)), name


def test_operations_end_in_every_way() -> None:
    history = [operation for seed in (7,) for operation in played(planned(seed)).history]
    assert {operation.outcome for operation in history} == set(Outcome)
    told = {(each.client % 2, each.token > 0) for each in history if each.level is Level.LINEARIZABLE}
    assert told == {(0, False), (0, True), (1, False)}, "a session that says that it is unknown names no revision"
    served = {operation.cache for operation in history if operation.outcome is Outcome.OK}
    assert {"HIT", "MISS", "BYPASS", "REVALIDATED", "STALE"} <= served


def nothing(*arguments: object, **named: object) -> int:
    del arguments, named
    return 0


def first_found(seeds: Collection[int] = SEEDS, drift: float = 0.0) -> tuple[int, tuple[str, ...]]:
    """The first seed that fails, and what it found."""
    return next(((run.seed, run.broken) for run in summaries(list(seeds), jobs=1, drift=drift) if run.broken), (0, ()))


@pytest.mark.parametrize(
    ("owner", "name", "broken", "check"),
    [
        (LocalState, "_mark", nothing, "stale read"),
        (Freshness, "fills", lambda *_: True, "not at its revision"),
        (Writes, "_await_acks", None, "synchronous write not seen"),
        (Auditor, "_tell", None, "outside write not seen"),
    ],
    ids=[
        "invalidate nothing",
        "fill what is overtaken",
        "wait for nobody",
        "tell nobody of outside writes",
    ],
)
def test_a_broken_rule_is_found(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, broken: Callable[..., object] | None, check: str
) -> None:
    async def at_once(*arguments: object) -> tuple[int, int]:
        del arguments
        return 0, 0

    monkeypatch.setattr(owner, name, broken or at_once)
    assert any(check in run.broken for run in summaries(list(SEEDS), jobs=1))


def test_every_scope_that_is_followed_concerns_keys_that_are_written() -> None:
    followed = {number // 2 % len(SCOPES) for number in FOLLOWERS}
    assert followed == set(range(len(SCOPES)))
    for prefixes, keys in SCOPES:
        assert all(any(key.startswith(prefix) for key in KEYS) for prefix in prefixes)
        assert set(keys) <= set(KEYS)


def test_a_clock_that_drifts_further_than_allowed_breaks_a_promise_and_one_that_does_not_breaks_none() -> None:
    _, found = first_found((3, 1, 2), drift=0.3)
    assert "stale read" in found
    assert first_found((3,), drift=0.004) == (0, ())


def test_a_failing_plan_is_made_short_and_fails_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalState, "_mark", nothing)
    seed, _ = first_found((5, 8, 10))
    long = planned(seed)
    first = judge(played(long))[0]
    short = Search(long, played, tries=50).shortest()
    assert len(short.asks) <= 12 < len(long.asks) / 10
    assert len(short.steps) <= 2
    assert first.check in {violation.check for violation in judge(played(short))}
    told = story(short, played)
    assert told == story(short, played)
    assert f"broken: {first.check}" in told


def test_what_asks_for_the_time_of_the_machine_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where somebody catches the error."""
    before = LocalState.watching

    def watching(state: LocalState, up: bool) -> None:
        try:
            time.time()
        except Exception:  # noqa: BLE001
            before(state, up)

    monkeypatch.setattr(LocalState, "watching", watching)
    (problem, *_) = judge(played(replace(planned(1), asks=(), steps=())))
    assert "something real was asked for: " in problem.claim
    assert "time.time" in problem.claim


def test_an_instance_that_does_not_recover_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalState, "watching", nothing)
    claims = [violation.claim for violation in judge(played(replace(planned(1), asks=(), steps=())))]
    assert any("has not recovered within" in claim for claim in claims)


def test_a_read_that_is_older_than_the_bound_is_found_though_nobody_was_told_of_the_newer_version() -> None:
    """By a hair more than the bound: the moment of each commit is known."""
    run = played(replace(planned(1), steps=()))
    read, following = next(
        (read, change)
        for read in run.history
        if read.kind is Kind.READ and read.cache == "HIT" and read.level is Level.DEFAULT
        for change in [run.truth.after(read.key, read.revision)]
        if change is not None
    )
    late = following.seen + run.plan.bound * 1.006
    shifted = replace(read, invoked=late, returned=late)
    run.history = [shifted if each is read else each for each in run.history]
    assert {"stale read"} <= {each.check for each in judge(run) if read.number in numbers(each.operations)}


def numbers(operations: Collection[Operation]) -> set[int]:
    return {operation.number for operation in operations}


def test_a_plan_is_decided_by_its_seed() -> None:
    assert plan(5) == plan(5)
    assert plan(5) != plan(6)


def test_onlookers_find_a_listing_that_is_not_what_etcd_has(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = readings.listed
    monkeypatch.setattr(readings, "listed", lambda layout, kvs: listed(layout, kvs)[1:])
    assert any(" listed at " in problem for problem in played(replace(planned(3), steps=())).problems)


def test_onlookers_find_a_change_that_is_told_as_older_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def older(key: str, op: str, mod_revision: int, value: bytes | None = None) -> ChangedKey:
        return ChangedKey(key, op, mod_revision - 1, value)

    monkeypatch.setattr(past_values, "ChangedKey", older)
    found = [problem for problem in played(replace(planned(3), steps=())).problems if "onlooker" in problem]
    assert any("told up to" in problem for problem in found)


def test_the_last_known_of_a_history_that_was_lost_may_be_told_whoever_wrote_it() -> None:
    """Seed 1452. 1. Somebody writes past the service. 2. An instance proves it, and loses etcd. 3. A backup without it
    is restored. 4. A client that prefers the last known for 10 s is told it, as of 2: that is what it asked for."""
    run = Run(planned(1), split_at=13.0)
    stale = Operation(
        1, 3, "", Remembers.NOTHING, 2, Kind.READ, Level.STALE, VISIBLE[3], '"outside 4"', 16.9, 16.9, Outcome.OK
    )
    told = replace(stale, status=200, modified=68, revision=82, cache="STALE", age=5.0, asked=10)
    run.outside = [told]
    assert judge(run) == []
    run.outside = [replace(told, age=2.0)]
    assert [violation.check for violation in judge(run)] == ["read from nowhere"], (
        "proven after the backup was restored"
    )


def test_ages_that_followers_are_told_are_recorded_in_seconds_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance counts them by its own clock, which is slow or fast. So clients record theirs, too."""
    told = list[float]()
    take = Follower._take

    def taken(self: Follower, instance: Instance, invoked: float, one: Told) -> None:
        if one.age is not None and self.number in FOLLOWERS:
            told.append(one.age / instance.machine.rate)
        take(self, instance, invoked, one)

    monkeypatch.setattr(Follower, "_take", taken)
    drawn = planned(4)
    run = played(replace(drawn, steps=(), machines=tuple(replace(each, rate=0.5) for each in drawn.machines)))
    words = [word for word in run.followed if word.follower in FOLLOWERS]
    recorded = [word.age for word in words if word.word == "told" and word.age >= 0]
    assert len(told) > 100
    assert recorded == told
