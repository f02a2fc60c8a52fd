"""Wakes a crowd a few at a time, with a real pause between: who only wants a value from memory is not to wait for it.

Owns the order in which they are woken. Knows nothing of what they wait for. Belongs to one loop. A pause is no mere
turn of the loop:

    1. A change concerns a thousand clients. Each is woken, and takes 50 µs to be told.
    2. A loop that always has something ready lets go of the interpreter for a microsecond at a time. The server's
       thread, which brings the requests and takes what is sent, gets it only when its patience, 5 ms, is over.
    3. So hits wait for several times 5 ms until all have been told, however few of them one turn wakes.

And it is one slice for all crowds: an event may concern a thousand scopes with one client each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

Waiter = asyncio.Future[None]

AT_ONCE = 50
"""Waiters woken in one slice: what they do next takes some 2 ms."""

PAUSE = 0.001
"""Seconds between two slices, after the first has done what it does next: the least that libuv counts."""


class Crowd:
    """See the module's opening."""

    def __init__(self) -> None:
        self._crowds: deque[Iterator[Waiter]] = deque()
        self._left = AT_ONCE  # of this slice
        self._is_under_way = False  # a slice has woken somebody, and its end will be called

    def wake(self, waiters: Iterable[Waiter], *, first: bool = False) -> None:
        """Have these woken. They are looked at when it is their turn: nobody else may change them any more.

        first: before all who wait to be woken.
        """
        if first:
            self._crowds.appendleft(iter(waiters))
        else:
            self._crowds.append(iter(waiters))
        self._wake_some()

    async def turn(self) -> None:
        """Return when it is the caller's turn: for many who have waited for the same, and go on together."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self.wake((waiter,))
        await waiter

    def _wake_some(self) -> None:
        while self._crowds and self._left:
            waiter = next(self._crowds[0], None)
            if waiter is None:
                self._crowds.popleft()
            elif wake(waiter):
                self._left -= 1
                if not self._is_under_way:
                    self._is_under_way = True
                    loop = waiter.get_loop()
                    loop.call_soon(loop.call_soon, self._end, loop)  # after the turn in which all of them go on

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Those whom the slice has woken have done their next step."""
        if self._crowds:
            loop.call_later(PAUSE, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._left, self._is_under_way = AT_ONCE, False
        self._wake_some()


def wake(waiter: Waiter) -> bool:
    """Whether that was the first time: it may have been woken before, or its owner gone."""
    if waiter.done():
        return False
    waiter.set_result(None)
    return True
