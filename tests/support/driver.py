"""One loop, driven by hand from the test's thread: it runs while somebody waits here, and at no other time.

So a test of what runs on a loop reads as any other, and nothing happens between two of its lines. There is one such
loop for all tests, since a process should have one for gRPC.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeVar

from consistency.loop import PROCESS_LOOP
from tests.support.holds import MOST, RUNS, MeasuringLoop

T = TypeVar("T")

LIMIT = 20.0
"""Seconds after which nobody waits any more."""

LOOP = MeasuringLoop()


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; whatever else is under way goes on meanwhile."""
    return LOOP.run_until_complete(asyncio.wait_for(work, LIMIT))


def until(claim: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Goes on until `claim` holds, at most `limit` seconds; whether it does."""
    return LOOP.run_until_complete(_until(claim, limit))


def settle() -> None:
    """Goes on until everything that is under way waits for something."""
    LOOP.run_until_complete(_pass(50))


def least_hold(work: Callable[[], Coroutine[Any, Any, object]]) -> tuple[float, str]:
    """For how long `work`, and what goes on beside it, holds the loop at once: seconds of processor time, and what did.

    It is done anew until it holds it for less than MOST, at most RUNS times: a cold start is nobody's fault.
    """
    found: list[tuple[float, str]] = []
    while len(found) < RUNS and (not found or found[-1][0] >= MOST):
        with LOOP.measured() as holds:
            run(work())
        found.append(holds.longest)
    return min(found)


class Meanwhile(Generic[T]):
    """Work that is under way while the test does something else."""

    def __init__(self, work: Coroutine[Any, Any, T], *, from_loop: bool = False) -> None:
        """`from_loop`: begun by something that the loop runs at this moment."""
        self._task = LOOP.create_task(work)
        if not from_loop:
            settle()

    @property
    def running(self) -> bool:
        settle()
        return not self._task.done()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._task.__await__()

    def result(self) -> T:
        return LOOP.run_until_complete(asyncio.wait_for(self._task, LIMIT))

    def cancel(self) -> None:
        """As when a client goes away."""
        self._task.cancel()
        settle()


async def _until(claim: Callable[[], bool], limit: float) -> bool:
    end = LOOP.time() + limit
    await _pass(20, claim)
    while not claim():
        if LOOP.time() > end:
            return False
        await asyncio.sleep(0.001)
    return True


async def _pass(turns: int, claim: Callable[[], bool] = lambda: False) -> None:
    for _ in range(turns):
        if claim():
            return
        await asyncio.sleep(0)


def each(stream: AsyncIterator[T], limit: float = LIMIT) -> Iterator[T]:
    """What a stream brings, one after the other, as long as the test asks. Ends by raising, as the stream does."""
    while True:
        yield LOOP.run_until_complete(asyncio.wait_for(_next(stream), limit))


async def _next(stream: AsyncIterator[T]) -> T:
    return await anext(stream)


def run_beside(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, done on the loop that `DistributedCache` uses: connections of both belong to one.

    The caller may stand on a loop of its own, as every test does that drives a browser.
    """
    _stay_a_user()
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(PROCESS_LOOP.run, work).result()


@cache
def _stay_a_user() -> None:
    """For as long as the tests run: connections made on that loop must not outlive it."""
    PROCESS_LOOP.enter()
