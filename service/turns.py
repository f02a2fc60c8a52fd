"""A long computation on the loop, in turns with everybody else.

A turn ends by the clock, not after each slice, and what follows it is a real pause, not a mere `sleep(0)`:

    1. A loop that always has something ready lets go of the interpreter for a microsecond at a time, to look whether
       anything has come.
    2. The server's thread wants the interpreter for each piece that comes over a connection. It sleeps, and has not
       woken up before the loop has the interpreter again: it gets it only when its patience, 5 ms, is over.
    3. Behind the pieces of 32 large bodies a small request waits for a third of a second; the loop was never late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

TURN = 0.001
"""Seconds after which a turn ends, with the slice that is being done."""

PAUSE = 0.001
"""Seconds that others have then: the least that libuv counts."""


async def in_turns(slices: Generator[None, None, T]) -> T:
    """Do all slices; return what they come to. What the caller does next begins early in a turn, too.

    Raises what the slices raise.
    """
    begun = time.perf_counter()
    ended = False
    while not ended:
        try:
            next(slices)
        except StopIteration as end:
            result: T = end.value
            ended = True
        if time.perf_counter() - begun >= TURN:
            await asyncio.sleep(PAUSE)
            begun = time.perf_counter()
    return result
