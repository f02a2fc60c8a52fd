"""The loop of a process that has none of its own: one thread runs it, started by its first user, joined by its last.

There is one, however many caches there are: gRPC keeps one queue of completions for all loops of a process, and two
that poll it disturb each other (grpc #25364, #42357).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from consistency.core.store import Unavailable

T = TypeVar("T")


class LoopThread:
    """Safe for use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects all below
        self._users = 0
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """Be a user of it; the first one starts the thread. Raises RuntimeError in a process forked from a user's."""
        with self._lock:
            if self._users and self._process != os.getpid():
                raise RuntimeError(_FORKED)
            if not self._users:
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="config-loop", daemon=True)
                self._thread.start()
            self._users += 1

    def leave(self) -> None:
        """Be no user any more; the last one ends and joins the thread."""
        with self._lock:
            self._users -= 1
            loop, thread = self._loop, self._thread
            if self._users or loop is None or thread is None or self._process != os.getpid():
                return
            self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Be a user of it for a while."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`, done on the loop. Raises what it raises; Unavailable if the loop has ended.

        Raises RuntimeError on a thread that runs a loop, which would stand still, and after a fork.
        """
        try:
            loop = self._reachable()
        except BaseException:
            work.close()
            raise
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result()
        except concurrent.futures.CancelledError as error:
            raise Unavailable("the cache was closed meanwhile") from error

    def _reachable(self) -> asyncio.AbstractEventLoop:
        if _has_loop():
            raise RuntimeError(_IN_A_LOOP)
        if self._process != os.getpid():
            raise RuntimeError(_FORKED)
        loop = self._loop
        if loop is None:
            raise Unavailable("the cache is closed")
        return loop


_FORKED = (
    "this process was forked from one that had a DistributedCache, and neither its thread nor its connections came "
    "along; make the first DistributedCache after the fork"
)

_IN_A_LOOP = (
    "DistributedCache waits, and this thread runs an asyncio loop, which would stand still meanwhile; "
    "use AsyncDistributedCache there"
)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


PROCESS_LOOP = LoopThread()


def run(work: Coroutine[Any, Any, T]) -> T:
    """See `LoopThread.run`, of the process's loop. For users of it."""
    return PROCESS_LOOP.run(work)
