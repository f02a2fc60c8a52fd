"""Sends large answers piece by piece, as their clients take them.

A client that takes a large one more slowly than is allowed loses its connection in the middle of it. The kernel ends
those of clients that take nothing at all (`service.process.listener`).

All answers together have a bound in bytes. A piece that is sent to many is in memory once, and takes its room once;
what is on the way to each of them takes its own. A write finds room for its answer before it writes anything:

    1. a document is put, which its answer repeats,
    2. there is no room for the answer, since others are taken slowly,
    3. a refusal in its place would say that nothing was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from consistency.tasks import Budget
from service.http.answers import Head
from service.http.requests import allowed
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
        self.most = most
        self.budget = Budget(most)
        self._shared: dict[int, _Shared] = {}  # by the identity of the piece, which each of them keeps

    def loan(self) -> Loan:
        """For one answer."""
        return Loan(self)

    async def hold(self, piece: bytes) -> bool:
        """Return whether there is room for a piece, after a moment. A piece that several hold takes room once."""
        if id(piece) not in self._shared:
            taken = max(0, min(len(piece), self.most - OF_ANSWER * PIECE))
            has_room = await self.budget.take(taken, PATIENCE)
            # While this one waited, another may have taken room for the same piece.
            if id(piece) in self._shared:
                self.budget.give_back(taken if has_room else 0)
            elif has_room:
                self._shared[id(piece)] = _Shared(piece, taken)
            else:
                return False
        self._shared[id(piece)].holders += 1
        return True

    def let_go(self, piece: bytes) -> None:
        """Hold it no more: the last one gives back its room."""
        shared = self._shared[id(piece)]
        shared.holders -= 1
        if not shared.holders:
            del self._shared[id(piece)]
            self.budget.give_back(shared.taken)


@dataclass(slots=True)
class _Shared:
    """A piece that several may be sent, with the bytes of room that were taken for it, once."""

    piece: bytes
    taken: int
    holders: int = 0


class Loan:
    """What one answer has taken of the room; it is given back at the end of the block."""

    __slots__ = ("_held", "_room", "_taken")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0
        self._held: bytes | None = None

    def __enter__(self) -> Loan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()

    async def take(self, length: int) -> bool:
        """Return whether there is room for so many bytes, after a moment. What is there already is not taken again."""
        more = min(OF_ANSWER * length, self._room.most) - self._taken if length > LARGE else 0
        if more > 0:
            if not await self._room.budget.take(more, PATIENCE):
                return False
            self._taken += more
        return True

    async def take_shared(self, piece: bytes) -> bool:
        """The same for a piece that others may be sent as well, the very same bytes: they are there once.

        What this one takes besides is what is on the way to its own client.
        """
        if len(piece) <= LARGE:
            return True
        if not await self._room.hold(piece):
            return False
        self._held = piece
        if not await self.take(min(len(piece), PIECE)):
            self.give_back()
            return False
        return True

    def give_back(self) -> None:
        """Give back all of it."""
        if self._held is not None:
            self._room.let_go(self._held)
            self._held = None
        if self._taken:
            self._room.budget.give_back(self._taken)
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
