"""A plan that fails, made short: what can be left out while the same promise breaks.

Owns the search. Each try is a whole run; the tries are bounded, so the end is short, and not always the shortest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from simulation.plan import Plan, Weather
from simulation.record import Run
from simulation.verdict import judge
from torture.violations import Violation

T = TypeVar("T")

TRIES = 150
"""Runs that a search may take."""


ENDS = 4
"""Moments at which a run may be ended early; a shorter one may go another way."""


class Search:
    """For a plan with the same violation, and less of everything else. `play` plays one."""

    def __init__(self, plan: Plan, play: Callable[[Plan], Run], tries: int = TRIES) -> None:
        self.best = plan
        self.tries = tries
        self._play = play
        self._run = play(plan)
        self._what = _kind(judge(self._run)[0])

    def shortest(self) -> Plan:
        """Raises IndexError when the plan does not fail at all."""
        self._end_early()
        self._try(replace(self.best, onlookers=(), followers=(), keepers=(), afterwards=()))
        if self.best.guarded:
            self._try(replace(self.best, guarded=()))
        self._try(replace(self.best, weather=Weather()))
        self._try(replace(self.best, fifo=True))
        faults = sorted({step.fault for step in self.best.steps})
        self._leave_out(
            faults, lambda kept: replace(self.best, steps=tuple(s for s in self.best.steps if s.fault in set(kept)))
        )
        clients = sorted({ask.client for ask in self.best.asks})
        self._leave_out(
            clients, lambda kept: replace(self.best, asks=tuple(a for a in self.best.asks if a.client in set(kept)))
        )
        self._leave_out(self.best.onlookers, lambda kept: replace(self.best, onlookers=tuple(kept)))
        self._leave_out(self.best.afterwards, lambda kept: replace(self.best, afterwards=tuple(kept)))
        self._leave_out(self.best.keepers, lambda kept: replace(self.best, keepers=tuple(kept)))
        self._leave_out(self.best.followers, lambda kept: replace(self.best, followers=tuple(kept)))
        self._end_early()
        self._leave_out(self.best.asks, lambda kept: replace(self.best, asks=tuple(kept)))
        return self.best

    def _end_early(self) -> None:
        """Nothing after a moment at which it broke; the first, if that will do: the looks at the end find it, too."""
        broke = [violation.operations for violation in self._same(self._run) if violation.operations]
        for last in sorted({max(operation.returned for operation in operations) for operations in broke})[:ENDS]:
            end = last - self._run.begun + 0.01
            if end < self.best.seconds and self._try(_until(self.best, end)):
                return

    def _leave_out(self, parts: Sequence[T], planned: Callable[[list[T]], Plan]) -> None:
        """Halves first, then quarters, and so on: what is not needed goes."""
        kept, size = list(parts), max(1, len(parts) // 2)
        while kept and self.tries > 0:
            place = 0
            while place < len(kept) and self.tries > 0:
                less = kept[:place] + kept[place + size :]
                if self._try(planned(less)):
                    kept = less
                else:
                    place += size
            if size == 1:
                return
            size = max(1, size // 2)

    def _try(self, plan: Plan) -> bool:
        self.tries -= 1
        run = self._play(plan)
        if not self._same(run):
            return False
        self.best, self._run = plan, run
        return True

    def _same(self, run: Run) -> list[Violation]:
        return [violation for violation in judge(run) if _kind(violation) == self._what]


def _kind(violation: Violation) -> tuple[str, str]:
    """What broke, and of what is no promise to clients also how it was put, without its numbers."""
    return violation.check, "" if violation.operations else re.sub(r"[\d.]+", "", violation.claim)


def _until(plan: Plan, end: float) -> Plan:
    return replace(
        plan,
        cut_short=True,
        seconds=end,
        steps=tuple(step for step in plan.steps if step.at < end),
        asks=tuple(ask for ask in plan.asks if ask.at < end),
    )
