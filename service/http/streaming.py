"""Sends an answer without an end, as its client takes it: who doesn't read is waited for a while, and then let go.

What a piece takes until then is counted with the other large answers (`service.http.sending`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from service.http.answers import Head
from service.http.requests import allowed
from service.http.sending import PIECE, Loan, Send

TAKEN_WITHIN = 30.0
"""Seconds for a client to take one piece, or what was sent before it; a large one at the pace of other answers."""


async def send_stream(
    send: Send, headers: Head, pieces: AsyncGenerator[bytes], loan: Loan, without_room: Callable[[], bytes]
) -> None:
    """Send all pieces, each when the one before has been taken; return at their end, or when one is not taken.

    pieces: is closed, however this ends. without_room: what is said in the place of a piece for which there is no room,
    as the end.
    """
    async with aclosing(pieces):
        try:
            async with asyncio.timeout(TAKEN_WITHIN):
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            del headers  # there are thousands of these frames, and most of them wait
            async for piece in pieces:
                if not await loan.take_shared(piece):
                    await _send_piece(send, without_room())
                    break
                await _send_piece(send, piece)
                loan.give_back()
                del piece  # nor is it kept while the next one is waited for
            async with asyncio.timeout(TAKEN_WITHIN):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return  # the server finds that the end was not sent, and ends the connection


async def _send_piece(send: Send, piece: bytes) -> None:
    """Raises TimeoutError when it is not taken in time."""
    begun = asyncio.get_running_loop().time()
    for at in range(0, len(piece), PIECE):
        async with asyncio.timeout_at(begun + max(TAKEN_WITHIN, allowed(at))):
            await send({"type": "http.response.body", "body": piece[at : at + PIECE], "more_body": True})
