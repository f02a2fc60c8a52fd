"""The only creator of tasks. Each has an owner, which awaits its end; none is dropped, and no failure goes unseen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from consistency.core.events import Observer, WorkerFailed
from consistency.core.model import PreconditionFailed
from consistency.core.store import StoreError
from consistency.news import within

T = TypeVar("T")

RESTART_PAUSE = 1.0
"""Seconds before a worker that failed unexpectedly starts over."""


class Worker:
    """Runs `run(worker)` over and over until it is stopped. `run` sleeps by `pause`; at a stop it is cancelled.

    A `run` that has something to give back does so when it is cancelled, and not for long: the owner waits for it.
    """

    def __init__(self, name: str, run: Callable[[Worker], Awaitable[None]], observer: Observer) -> None:
        self.name = name
        self._run = run
        self._observer = observer
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; once, on the loop."""
        self._task = asyncio.create_task(self._work(), name=self.name)

    def wake(self) -> None:
        """End a `pause` early, the present one or the next."""
        self._bell.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, unless or until woken. For the worker itself."""
        await within(self._bell, seconds)
        self._bell.clear()

    def cancel(self) -> None:
        """Ask it to end."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self, timeout: float) -> bool:
        """Wait for its end, at most `timeout` seconds; whether it came."""
        if self._task is None:
            return True
        _, late = await asyncio.wait((self._task,), timeout=max(0.0, timeout))
        return not late

    async def _work(self) -> None:
        while True:
            try:
                await self._run(self)
            except Exception as error:  # noqa: BLE001  # whatever it is, the instance must not go on without this worker
                self._observer(WorkerFailed(self.name, f"{type(error).__name__}: {error}"))
                await self.pause(RESTART_PAUSE)


class Errands:
    """Tasks that go on when who waits for them has gone: what was sent is seen through.

    Errors that the protocol foresees belong to whoever awaits the task; the observer is told of any other.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin `work`."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def see_through(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Return the result of `work`, which goes on even if the caller is cancelled."""
        return await asyncio.shield(self.start(work, name))

    async def stop(self, timeout: float) -> bool:
        """Wait for all of them, at most `timeout` seconds, then cancel the rest; whether all have ended."""
        if not self._tasks:
            return True
        _, late = await asyncio.wait(tuple(self._tasks), timeout=max(0.0, timeout))
        for task in late:
            task.cancel()
        if late:
            _, late = await asyncio.wait(late, timeout=0.1)
        return not late

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreError | PreconditionFailed):
            self._observer(WorkerFailed(task.get_name(), f"{type(error).__name__}: {error}"))
