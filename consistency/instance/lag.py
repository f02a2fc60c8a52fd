"""How late the loop comes to what is due: the measure of whatever holds it, be it code, too little CPU or a pause.

Owns the measure. Decides nothing by it: operators do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consistency.tasks import Worker

TICK = 0.05
"""Seconds between two looks. What holds the loop for H seconds is told as H, less TICK at most."""

KEPT = 15.0
"""Seconds for which what was found is told at least, and twice as many at most: longer than from scrape to scrape."""


class LoopLag:
    """`run` belongs to a worker. `clock`: local seconds. `tick`: seconds between two looks."""

    def __init__(self, clock: Callable[[], float], *, tick: float = TICK) -> None:
        self._clock = clock
        self._tick = tick
        self._since = clock()
        self._present = 0.0  # the greatest since then
        self._before = 0.0  # the greatest of the KEPT seconds before

    async def run(self, worker: Worker) -> None:
        """One look."""
        del worker  # nobody wakes it
        due = self._clock() + self._tick
        await asyncio.sleep(self._tick)
        self._note(self._clock(), due)

    def greatest(self) -> float:
        """Seconds by which the loop was late at worst, of late."""
        return max(self._before, self._present)

    def _note(self, now: float, due: float) -> None:
        if now - self._since >= KEPT:
            self._since, self._before, self._present = now, self._present, 0.0
        self._present = max(self._present, now - due)
