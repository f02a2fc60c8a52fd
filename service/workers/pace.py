"""How long to wait before a worker that has ended is started again. Pure, but for the chance that it is handed.

It is never given up: what keeps a worker from living (no memory, a full disk) may end by itself, and then nobody should
have to know that the service must be started again, too.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST = 0.5
LAST = 30.0
"""Seconds before a new start, at first and at most; doubled each time."""

WELL_AFTER = 60.0
"""Seconds for which a worker has to live to count as well: then the pauses begin anew."""


class Pace:
    """When one worker is started again. chance: a number from 0 to 1, by which workers that died together don't come
    back together."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._pause = FIRST
        self.in_a_row = 0
        """Ends without a life of WELL_AFTER before them, the last one included."""

    def pause_after(self, lived: float) -> float:
        """Seconds to wait, after an end that came so many seconds after the start."""
        if lived >= WELL_AFTER:
            self._pause, self.in_a_row = FIRST, 0
        self.in_a_row += 1
        pause = self._pause * (0.5 + 0.5 * self._chance())
        self._pause = min(2 * self._pause, LAST)
        return pause
