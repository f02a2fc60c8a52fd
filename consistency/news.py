"""What some wait for and others bring about: a state has changed, look again. Belongs to one loop."""

from __future__ import annotations

import asyncio


class News:
    """Wakes all who wait at each change; who comes later waits for the next one."""

    def __init__(self) -> None:
        self._next = asyncio.Event()  # set at the next change, and replaced by another one

    def tell(self) -> None:
        """Something has changed."""
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def wait(self, seconds: float) -> bool:
        """Return when something has changed, or after `seconds`; whether something has."""
        return await within(self._next, seconds)


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
