"""Wakes many at their times by one timer of the loop: each of its own would cost who waits a kilobyte.

In steps, and not too early. Belongs to one loop.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable

from consistency.instance.crowd import Waiter
from consistency.tasks import TICK

STEP = 0.05
"""Seconds: who waits is woken at the end of the step in which its time comes."""


class Alarms:
    """ring: is given all whose time has come."""

    def __init__(self, ring: Callable[[Iterable[Waiter]], None]) -> None:
        self._ring = ring
        self._steps: dict[int, dict[Waiter, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0  # the step that the timer is for

    def __bool__(self) -> bool:
        return bool(self._steps)

    def set(self, waiter: Waiter, seconds: float) -> int:
        """Have it woken after so many seconds; by the step that is returned it is `unset`."""
        loop = waiter.get_loop()
        step = math.ceil((loop.time() + max(0.0, seconds)) / STEP)
        self._steps.setdefault(step, {})[waiter] = None
        if self._timer is None or step < self._next:
            self._wind(loop, step)
        return step

    def unset(self, waiter: Waiter, step: int) -> None:
        """It waits no more, whether it has been woken or not."""
        waiters = self._steps.get(step, {})
        waiters.pop(waiter, None)
        if not waiters:
            self._steps.pop(step, None)

    def _wind(self, loop: asyncio.AbstractEventLoop, step: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = step
        # uvloop's clock is of whole milliseconds, those that are over: by anybody else's a step would end too early.
        self._timer = loop.call_at(step * STEP + TICK, self._go_off, loop)

    def _go_off(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        due = [step for step in self._steps if step <= self._next]
        for step in sorted(due):
            self._ring(self._steps.pop(step))
        if self._steps:
            self._wind(loop, min(self._steps))
