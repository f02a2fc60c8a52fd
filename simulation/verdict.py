"""Is a run right? torture's checker over what clients were told, and what a simulation can see besides. Pure.

Nobody has to be told that a version is old: the moment of each commit is known, so staleness counts from there.

A restored backup splits a run: what came before it is judged by the history that was lost, what was asked for when the
bound had passed, so that nobody may know of the lost one any more, by the one that goes on from the backup. There
nobody knows which policy came back, so no key counts as guarded. Writes that may have come to both, or to the part that
both share, are writes of unknown outcome to the second. The last known that was proven in the lost one may be told for
as long as the client allows (STALE), and a token of the lost one be refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from consistency.core.options import CLOCK_RATE_ERROR
from simulation.client import LAST_LOOK, LAST_WORD
from simulation.demanded import what_was_demanded
from simulation.guarded import Guarded
from simulation.record import Run
from torture.case import Case
from torture.checker import check
from torture.history import Kind, Level, Operation, Outcome
from torture.truth import Truth
from torture.violations import Violation

SLACK = CLOCK_RATE_ERROR / 2
"""Of the bound: what a clock that runs slow, but not slower than allowed, makes of it."""

WRONG_TIMELINE, OUTCOME_UNKNOWN = 410, 504


def judge(run: Run) -> list[Violation]:
    """Everything that is wrong with it; the promises to clients first."""
    problems = [Violation("problem", problem) for problem in run.problems]
    problems += _unknown_for_nothing(run)
    slack = run.plan.bound * SLACK + 1e-6
    if run.split_at is None:
        promises = check(
            run.history, run.truth, bound=run.plan.bound, slack=slack, followed=run.followed, guarded=Guarded(run.truth)
        )
        demanded = [*what_was_demanded(run.truth, run.orders, run.policies)]
        return [*promises, *_outside(run.outside, run.truth), *demanded, *problems]
    before, after = _split(run.history, run.split_at, run.split_at + run.plan.bound + slack)
    followed = [word for word in run.followed if word.returned < run.split_at]
    promises = check(
        before, run.truth, bound=run.plan.bound, slack=slack, followed=followed, guarded=Guarded(run.truth)
    )
    promises += check(after, run.truth_after, bound=run.plan.bound, slack=slack)
    forgotten = run.split_at + run.plan.bound + slack
    late = [read for read in run.outside if read.invoked > forgotten and not _is_last_known(read, run.split_at)]
    demanded = [*what_was_demanded(run.truth, run.orders, ()), *what_was_demanded(run.truth_after, run.orders, ())]
    return [*promises, *_outside(late, run.truth_after), *demanded, *problems]


def _unknown_for_nothing(run: Run) -> Iterator[Violation]:
    """Writes that were said to be of unknown outcome, though no transaction was sent that does them (rules 1, 16).

    A put that may share a transaction is left out: who waits for it can be out of time while its group is announced.
    """
    for write in run.history:
        shares = write.kind is Kind.PUT and not write.condition and write.level is not Level.SYNC
        stored = [(key, value.encode()) for key, value in write.changes if value is not None]
        if write.status == OUTCOME_UNKNOWN and not shares and stored and not run.sent.intersection(stored):
            yield Violation("unknown, though nothing was sent", write.note, (write,))


def judged_as_guarded(run: Run) -> list[Operation]:
    """The reads that had to be linearizable because their keys were guarded, and for nothing else."""
    until = float("inf") if run.split_at is None else run.split_at
    known = [operation for operation in run.history if operation.returned < until]
    return Case(known, run.truth, run.plan.bound, 0.0, guarded=Guarded(run.truth)).guarded_reads()


def newest(run: Run) -> Truth:
    """The history that stands at the end."""
    return run.truth if run.split_at is None else run.truth_after


def _split(history: Iterable[Operation], lost: float, forgotten: float) -> tuple[list[Operation], list[Operation]]:
    """The histories before a backup was restored at `lost`, and after everybody has `forgotten` what that took away."""
    before, after = list[Operation](), list[Operation]()
    for operation in history:
        unknown = replace(operation, outcome=Outcome.UNKNOWN, status=0, revision=0, modified=0, refusing="")
        writes = operation.kind is not Kind.READ
        if operation.returned < lost:
            before.append(operation)
        elif operation.invoked < lost and writes:
            before.append(unknown)
        if operation.invoked > forgotten:
            refused = operation.status == WRONG_TIMELINE and operation.level is not Level.PAST
            if not refused and not _is_last_known(operation, lost):
                after.append(operation)
        elif writes and operation.outcome is not Outcome.FAILED:
            after.append(unknown)
    return before, after


def _is_last_known(operation: Operation, lost: float) -> bool:
    """Whether it was served though nothing could be proven, as of a moment before a backup was restored."""
    return operation.cache == "STALE" and operation.returned - operation.age < lost


def _outside(reads: Iterable[Operation], truth: Truth) -> Iterator[Violation]:
    """Rule 13: what somebody wrote past the service is seen at once by uncached reads, and at the end by everybody."""
    for read in reads:
        latest = truth.at(read.key, read.revision)
        current = latest.revision if latest and latest.value is not None else 0
        if read.modified and truth.exactly(read.key, read.modified) is None:
            yield Violation("read from nowhere", f"{read.key} has no revision {read.modified}", (read,))
        elif (
            (read.client >= LAST_LOOK + LAST_WORD or read.level is Level.UNCACHED)
            and read.revision
            and current != read.modified
        ):
            yield Violation("outside write not seen", f"{read.key} was of {current}", (read,))
