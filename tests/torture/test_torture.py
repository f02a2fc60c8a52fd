"""A short run of the whole machine: real etcd, real instances, real faults, and no broken promise.

Then the history that was really recorded, altered by hand in the smallest way: the checker says what, and who.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from torture.case import Case
from torture.checker import check
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.report import report
from torture.run import SLACK, Result, run
from torture.schedule import plan
from torture.truth import Truth
from torture.violations import Violation
from torture.world import BOUND

pytestmark = pytest.mark.alone

SEED, SECONDS, INSTANCES, RATE = 4, 30.0, 4, 300.0

KINDS = 10
"""Kinds of fault that must really have happened; the schedule has 13, but a leader that is away can't be moved."""


@dataclass(frozen=True)
class Torture:
    """One run, and all that was said about it."""

    result: Result
    told: str

    def violations(self, history: list[Operation] | None = None, truth: Truth | None = None) -> list[Violation]:
        """What the checker says of it, with another history or another truth."""
        return check(history or self.result.history, truth or self.result.truth, bound=BOUND, slack=SLACK)

    def altered(self, operation: Operation, **changes: object) -> list[Operation]:
        """The history with this operation told in another way."""
        changed = replace(operation, **changes)  # type: ignore[arg-type]
        return [changed if each is operation else each for each in self.result.history]


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    said: list[str] = []
    result = run(
        tmp_path_factory.mktemp("torture"), plan(SEED, SECONDS, INSTANCES),
        seed=SEED, seconds=SECONDS, instances=INSTANCES, rate=RATE, say=said.append,
    )  # fmt: skip
    return Torture(result, "\n".join((*said, report(result))))


def test_no_promise_is_broken_while_etcd_instances_and_the_network_fail(torture: Torture) -> None:
    """See `schedule` for the faults and `checker` for the promises; `make torture` does this for longer."""
    result, told = torture.result, torture.told
    assert not result.violations, told
    assert len(result.faults) >= KINDS, told
    outcomes = Counter(operation.outcome for operation in result.history)
    assert outcomes[Outcome.OK] > SECONDS * RATE / 4, told
    served = {operation.cache for operation in result.history if operation.outcome is Outcome.OK}
    assert {"HIT", "MISS", "BYPASS", "REVALIDATED"} <= served, told


def test_the_clients_do_all_that_clients_can_do(torture: Torture) -> None:
    """Every read mode, every kind of write, every sort of session; conditions that hold and that don't."""
    history, told = torture.result.history, torture.told
    done = {(each.kind, each.level) for each in history if each.outcome is Outcome.OK}
    reads = {(Kind.READ, level) for level in Level if level is not Level.SYNC}
    writes = {(kind, level) for kind in (Kind.PUT, Kind.DELETE, Kind.BATCH) for level in (Level.DEFAULT, Level.SYNC)}
    assert done == reads | writes, told
    judged = {(each.kind, each.outcome) for each in history if each.preconditions}
    ends = (Outcome.OK, Outcome.REFUSED)
    assert judged >= {(kind, end) for kind in (Kind.PUT, Kind.DELETE, Kind.BATCH) for end in ends}, told
    assert {each.remembers for each in history if each.token} == {Remembers.WRITES, Remembers.ALL}, told
    assert {each.instance for each in history} == set(range(INSTANCES)), told


def test_the_report_shows_operations_outcomes_and_faults_by_kind(torture: Torture) -> None:
    for each in torture.result.history:
        assert f"{each.kind} {each.level}" in torture.told
    for outcome in Outcome:
        assert outcome.value in torture.told
    for kind in torture.result.faults:
        assert kind in torture.told


def test_a_recorded_value_altered_by_hand_is_reported(torture: Torture) -> None:
    read = next(each for each in torture.result.history if each.kind is Kind.READ and each.value)
    (violation,) = torture.violations(torture.altered(read, value='"altered"'))
    assert violation.check == "wrong value"
    excerpt = violation.excerpt(torture.result.truth)
    for shown in (f"#{read.number} ", '"altered"', read.value, read.key):
        assert str(shown) in excerpt, excerpt


def test_a_recorded_write_that_is_taken_out_of_etcd_is_reported(torture: Torture) -> None:
    write = next(each for each in torture.result.history if each.kind is Kind.PUT and each.outcome is Outcome.OK)
    rest = Truth(change for change in torture.result.truth.changes if change.revision != write.revision)
    lost = [each for each in torture.violations(truth=rest) if each.check == "lost write"]
    assert [each.operations for each in lost] == [(write,)]
    assert f"#{write.number} " in lost[0].excerpt(rest)


def _strict(read: Operation) -> bool:
    return read.level in (Level.UNCACHED, Level.LINEARIZABLE)


def _default(read: Operation) -> bool:
    return read.level is Level.DEFAULT and read.cache == "HIT" and read.remembers is Remembers.NOTHING


@pytest.mark.parametrize(("judged", "report"), [(_strict, "not linearizable"), (_default, "stale read")])
def test_a_recorded_read_shifted_in_time_is_reported(
    torture: Torture, judged: Callable[[Operation], bool], report: str
) -> None:
    """By as much as makes it come after a write that it has not seen, and the bound."""
    case = Case(torture.result.history, torture.result.truth, BOUND, SLACK)
    read, write = next(
        (read, write)
        for key in sorted({each.key for each in case.reads})
        for read in case.reads
        if read.key == key and judged(read)
        for write in case.writes
        if write.key == key and write.outcome is Outcome.OK and write.revision > case.version(read) and write.value
    )
    shift = write.returned + BOUND + 1.0 - read.invoked
    shifted = torture.altered(read, invoked=read.invoked + shift, returned=read.returned + shift)
    violations = torture.violations(shifted)
    offenders = [each for each in violations if any(operation.number == read.number for operation in each.operations)]
    assert report in {each.check for each in offenders}, offenders
    assert offenders == violations
    assert all(f"#{read.number} " in each.excerpt(torture.result.truth) for each in offenders)
