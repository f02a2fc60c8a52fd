"""Is a run right? torture's checker over what clients were told, and what a simulation can see besides. Pure.

Nobody has to be told that a version is old: the moment of each commit is known, so staleness counts from there.
"""

from __future__ import annotations

from collections.abc import Iterator

from consistency.core.options import CLOCK_RATE_ERROR
from simulation.client import LAST_LOOK, LAST_WORD
from simulation.world import Run
from torture.checker import check
from torture.history import Level
from torture.violations import Violation

SLACK = CLOCK_RATE_ERROR / 2
"""Of the bound: what a clock that runs slow, but not slower than allowed, makes of it."""


def judge(run: Run) -> list[Violation]:
    """Everything that is wrong with it; the promises to clients first."""
    promises = check(run.history, run.truth, bound=run.plan.bound, slack=run.plan.bound * SLACK + 1e-6)
    problems = [Violation("problem", problem) for problem in run.problems]
    return [*promises, *_outside(run), *problems]


def _outside(run: Run) -> Iterator[Violation]:
    """Rule 13: what somebody wrote past the service is seen at once by uncached reads, and at the end by everybody."""
    for read in run.outside:
        newest = run.truth.at(read.key, read.revision)
        current = newest.revision if newest and newest.value is not None else 0
        if read.modified and run.truth.exactly(read.key, read.modified) is None:
            yield Violation("read from nowhere", f"{read.key} has no revision {read.modified}", (read,))
        elif (
            (read.client >= LAST_LOOK + LAST_WORD or read.level is Level.UNCACHED)
            and read.revision
            and current != read.modified
        ):
            yield Violation("outside write not seen", f"{read.key} was of {current}", (read,))
