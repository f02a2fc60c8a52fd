"""Sends an answer without an end, as its client takes it: who doesn't read is waited for a while, and then let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from service.http.answers import Head
from service.http.sending import PIECE, Send

TAKEN_WITHIN = 30.0
"""Seconds for a client to take one piece, or what was sent before it."""


async def send_stream(send: Send, headers: Head, pieces: AsyncIterator[bytes]) -> None:
    """Send all pieces, each when the one before has been taken; return at their end, or when one is not taken."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for piece in pieces:
            for at in range(0, len(piece), PIECE):
                async with asyncio.timeout(TAKEN_WITHIN):
                    await send({"type": "http.response.body", "body": piece[at : at + PIECE], "more_body": True})
    except TimeoutError:
        return  # the server finds that the end was not sent, and ends the connection
    await send({"type": "http.response.body", "body": b""})
