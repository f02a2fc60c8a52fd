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

from consistency.core.store import StoreError, Unavailable

T = TypeVar("T")


LAST = 2.0
"""Seconds for what is still under way when the last user leaves: it is cancelled, and has no more to do than to end."""


class LoopThread:
    """Safe for use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects all below
        self._users = 0
        self._process = 0  # of its first user; for ever
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Raise RuntimeError on a thread that runs a loop, which would stand still, and in a process forked from a
        user's. Asks no lock: of a lock that another thread held at the fork nobody is left to let go.

        A user that has left counts, too: what gRPC had begun may still be there at the fork, and does not come along.
        """
        if _has_loop():
            raise RuntimeError(_IN_A_LOOP)
        if self._process not in (0, os.getpid()):
            raise RuntimeError(_FORKED)

    def enter(self) -> None:
        """Be a user of it; the first one starts the thread. Raises RuntimeError in a process forked from a user's."""
        if self._process not in (0, os.getpid()):
            raise RuntimeError(_FORKED)
        with self._lock:
            if not self._users:
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="config-loop", daemon=True)
                self._thread.start()
            self._users += 1

    def leave(self) -> None:
        """Be no user any more; the last one ends and joins the thread.

        The lock is held until it is joined. Otherwise: 1. the last user leaves; 2. another enters, and starts a loop
        beside the one that is ending; 3. gRPC's queue is polled by both.
        """
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

    def run(self, work: Coroutine[Any, Any, T], *, lost: type[StoreError] = Unavailable) -> T:
        """Return the result of `work`, done on the loop. Raises what it raises; `lost` if the loop ends before it does.

        An interrupted caller (KeyboardInterrupt) gives up the wait. Raises RuntimeError as `check` does, and
        Unavailable if the loop has ended already.
        """
        try:
            self.check()
            asked = self._submit(work)
        except BaseException:
            work.close()
            raise
        try:
            return asked.result()
        except concurrent.futures.CancelledError as error:
            raise lost("the cache was closed meanwhile") from error
        finally:
            asked.cancel()

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Under the lock, so that it is begun before the loop is told to stop, and then cancelled. Otherwise:

        1. a thread sees that the loop is there; 2. the last user leaves, and the loop does its last turn; 3. the thread
        leaves its work for a turn that never comes, and waits for ever.
        """
        with self._lock:
            if self._loop is None:
                raise Unavailable("the cache is closed")
            return asyncio.run_coroutine_threadsafe(work, self._loop)


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
    finally:
        end(loop)


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a loop that has stopped, await its end, LAST seconds at most, and close the loop.

    Threads of its default executor are left alone, unlike by `asyncio.run`: a name server that is silent holds them.
    """
    try:
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=LAST))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


PROCESS_LOOP = LoopThread()


def run(work: Coroutine[Any, Any, T]) -> T:
    """See `LoopThread.run`, of the process's loop. For users of it."""
    return PROCESS_LOOP.run(work)
