"""What some wait for and others bring about: a state has changed, a call is over. Belongs to one loop."""

from __future__ import annotations

import asyncio

TICK = 0.001
"""Seconds: uvloop's timers end up to this much early, and a shorter one at once. To set a timer anew for what is left
would be to do so again and again until it is over."""


class News:
    """Wakes all waiting tasks at each change; a later one waits for the next change.

    One timer serves all waiting tasks, however many: it rings when the first of them gives up.
    """

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Future[bool], float] = {}  # with the loop's seconds at which each gives up
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # asked of ourselves: of a timer of less than a millisecond uvloop has no `when`

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def tell(self) -> None:
        """Something has changed."""
        for waiter in self._waiters:
            _wake(waiter, True)

    async def wait(self, seconds: float) -> bool:
        """Return when something has changed, or after `seconds`; whether something has."""
        if seconds <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = end = loop.time() + seconds
        if self._timer is None or end < self._rings_at:
            self._set_timer(loop, end)
        try:
            return await waiter
        finally:
            del self._waiters[waiter]
            if not self._waiters:
                self._stop_timer()

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiter, end in self._waiters.items():
            if end <= now:
                _wake(waiter, False)
        self._stop_timer()
        if left := [end for end in self._waiters.values() if end > now]:
            self._set_timer(loop, max(min(left), now + TICK))

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._stop_timer()
        self._timer, self._rings_at = loop.call_at(at, self._ring), at

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(waiter: asyncio.Future[bool], changed: bool) -> None:
    if not waiter.done():  # else it was woken or cancelled before, and has not left yet
        waiter.set_result(changed)


GRACE = 0.1
"""Seconds beyond a deadline for which one waits to hear in which words what had the same deadline has failed."""


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most `seconds`; whether it came."""
    if event.is_set():
        return True
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
