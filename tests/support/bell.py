"""Wakes those who wait on a loop, from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Bell:
    """A task that changes something rings; every waiter looks again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects _waiting
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def ring(self) -> None:
        """From any thread."""
        with self._lock:
            waiting = tuple(self._waiting)
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(event.set)

    async def until(self, claim: Callable[[], bool]) -> None:
        """Returns when `claim` holds. The caller's deadline is its own."""
        place = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.add(place)
        try:
            while not claim():
                place[1].clear()
                if claim():  # it may have come true before the line above
                    return
                await place[1].wait()
        finally:
            with self._lock:
                self._waiting.discard(place)
