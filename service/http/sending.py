"""Sends large answers piece by piece, as their clients take them.

Whoever takes a large one more slowly than is allowed is left: the connection ends in the middle of it. The kernel ends
those of clients that take nothing at all (`service.process.listener`).

All together take so many bytes at most. For what answers a write, room is found before anything is written:

    1. a document is put, which its answer repeats,
    2. there is no room for the answer, since others are taken slowly,
    3. a refusal in its place would say that nothing was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from service.http.answers import Head
from service.http.clients import allowed
from service.memory.budget import Budget
from service.memory.capacity import OF_ANSWER

Send = Callable[[dict[str, Any]], Awaitable[None]]

LARGE = 32 * 1024
"""Bytes. Smaller answers are sent whole: a connection has one at a time, and costs that much anyway."""

PIECE = 64 * 1024

PATIENCE = 0.1
"""Seconds to wait for room for a large answer."""


class Room:
    """The bytes that large answers may take, all together: OF_ANSWER times each. Belongs to one loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._budget = Budget(most)

    def loan(self) -> Loan:
        """For one answer."""
        return Loan(self._budget, self._most)


class Loan:
    """What one answer has taken of the room; it is given back at the end of the block."""

    __slots__ = ("_budget", "_most", "_taken")

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self._most = most
        self._taken = 0

    def __enter__(self) -> Loan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    async def take(self, length: int) -> bool:
        """Return whether there is room for so many bytes, after a moment. What is there already is not taken again."""
        more = min(OF_ANSWER * length, self._most) - self._taken if length > LARGE else 0
        if more > 0:
            if not await self._budget.take(more, PATIENCE):
                return False
            self._taken += more
        return True

    def give_back(self) -> None:
        """Give back all of it."""
        if self._taken:
            self._budget.give_back(self._taken)
            self._taken = 0


async def send_in_pieces(send: Send, status: int, headers: Head, body: bytes) -> None:
    """Send a large answer; return when its client has taken all of it, or was too slow."""
    started = asyncio.get_running_loop().time()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for at in range(0, len(body), PIECE):
        piece = body[at : at + PIECE]
        more = at + PIECE < len(body)
        try:
            async with asyncio.timeout_at(started + allowed(at)):
                await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            return  # the server finds that Content-Length was not kept, and ends the connection
