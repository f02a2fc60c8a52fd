"""One loop, driven by hand from the test's thread: it runs while somebody waits here, and at no other time.

So a test of what runs on a loop reads as any other, and nothing happens between two of its lines. It is the loop that
the service has, uvloop's, and one for all tests, since a process should have one for gRPC. What needs no gRPC may be
driven on asyncio's as well, on which the library runs in other people's programs: `driven_by`. Either is in asyncio's
debug mode.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeVar

import uvloop

from consistency.loop import PROCESS_LOOP
from tests.support.holds import LOOPS, RUNS, MeasuringLoop, most

T = TypeVar("T")

LIMIT = 20.0
"""Seconds after which nobody waits any more."""


@cache
def _loop_of(kind: str) -> MeasuringLoop:
    made = LOOPS[kind]()
    made.set_debug(True)
    return made


_driven = "uvloop"


def loop() -> MeasuringLoop:
    """The one that is driven at present."""
    return _loop_of(_driven)


@contextlib.contextmanager
def driven_by(kind: str) -> Iterator[None]:
    """Drives a loop of this kind, one of LOOPS, for as long as it lasts; others that are made are of that kind, too."""
    global _driven  # noqa: PLW0603
    before, _driven = _driven, kind
    policy = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(DebuggingPolicy(kind))
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(policy)
        _driven = before


class DebuggingPolicy(asyncio.DefaultEventLoopPolicy):
    """Every loop that is made in this process is of this kind, and in debug mode; what it starts is left alone."""

    def __init__(self, kind: str = "asyncio") -> None:
        super().__init__()
        self._kind = kind

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        made = uvloop.new_event_loop() if self._kind == "uvloop" else super().new_event_loop()
        made.set_debug(True)
        return made


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; whatever else is under way goes on meanwhile."""
    return loop().run_until_complete(asyncio.wait_for(work, LIMIT))


def until(claim: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Goes on until `claim` holds, at most `limit` seconds; whether it does."""
    return loop().run_until_complete(_until(claim, limit))


def settle() -> None:
    """Goes on until everything that is under way waits for something."""
    loop().run_until_complete(_pass(50))


def least_hold(work: Callable[[], Coroutine[Any, Any, object]]) -> tuple[float, str]:
    """For how long `work`, and what goes on beside it, holds the loop at once: seconds of processor time, and what did.

    It is done anew until it holds it for less than `most`, at most RUNS times: a cold start is nobody's fault.
    """
    found: list[tuple[float, str]] = []
    while len(found) < RUNS and (not found or found[-1][0] >= most()):
        with loop().measured() as holds:
            run(work())
        found.append(holds.longest)
    return min(found)


class Meanwhile(Generic[T]):
    """Work that is under way while the test does something else."""

    def __init__(self, work: Coroutine[Any, Any, T], *, from_loop: bool = False) -> None:
        """`from_loop`: begun by something that the loop runs at this moment."""
        self._task = loop().create_task(work)
        if not from_loop:
            settle()

    @property
    def running(self) -> bool:
        settle()
        return not self._task.done()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._task.__await__()

    def result(self) -> T:
        return loop().run_until_complete(asyncio.wait_for(self._task, LIMIT))

    def cancel(self) -> None:
        """As when a client goes away."""
        self._task.cancel()
        settle()

    def end(self) -> None:
        """Lets go of it, whatever it has brought: for work whose end is not what the test is about."""
        self.cancel()
        if self._task.done() and not self._task.cancelled():
            self._task.exception()


async def _until(claim: Callable[[], bool], limit: float) -> bool:
    end = loop().time() + limit
    await _pass(20, claim)
    while not claim():
        if loop().time() > end:
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
        yield loop().run_until_complete(asyncio.wait_for(_next(stream), limit))


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
