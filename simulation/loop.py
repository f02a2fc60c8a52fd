"""The loop of a simulation: asyncio's, in virtual time. What is ready runs in an order that the seed draws.

Owns the time, the order, and who may run: a callback belongs to the owner in whose context it was made (`OWNER`), and
waits while that owner is held, for ever once it is dead. Opens nothing and asks nothing of the machine: whatever needs
a socket, a thread or a process is an error here (asyncio's own NotImplementedError).

Time passes only when nothing is ready: then it leaps to the next timer. So a callback takes no time at all, unless its
owner is held afterwards, which is how a loop that stalls is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import Any, TypeVar

from simulation.owners import OWNER, Handle, Owner, Task

T = TypeVar("T")

IN_ALL = 5_000_000
"""Callbacks of one run. More are a loop in which time passes, and nothing ends: the longest have half a million."""

AT_ONE_MOMENT = 200_000
"""Callbacks that may run before time passes. More are a loop that never comes to rest."""


class Endless(Exception):
    """Callbacks lead to callbacks, and time does not pass."""


class Interrupted(BaseException):
    """Somebody outside of the run has ended it: a time limit. It says nothing of the code that was run."""


class Stuck(Exception):
    """Somebody waits, and nothing will ever happen again."""


class Loop(asyncio.AbstractEventLoop):
    """See the module's opening. random: draws the order. fifo: leave what is ready in asyncio's own order.

    complaints: what asyncio's loops hand to their exception handler: a task dropped, a failure nobody looked at.
    """

    def __init__(self, random: Random, *, fifo: bool = False) -> None:
        self.now = 0.0
        self.steps = 0
        self.complaints: list[str] = []
        self.interrupted: BaseException | None = None
        """What a signal's handler has raised in the middle of some callback, which may have taken it for its own."""
        self.after_step: Callable[[Owner], object] | None = None
        """Told of each owner's every callback when it has run. It must not touch anything."""
        self._chance = random.random
        self._fifo = fifo
        self._ready: list[Handle] = []
        self._next = 0  # in `_ready`, of the first that has not run: in asyncio's order only
        self._timers: list[tuple[float, float, int, Handle]] = []
        self._numbers = 0
        self._tasks: dict[int, Task[Any]] = {}
        self._look_at = 500  # so many tasks are let go of those that are done
        self._running = False
        self._closed = False

    # --- running

    def run_until_complete(self, future: Awaitable[T]) -> T:  # type: ignore[override]
        """Run until `future` is done; its result. Raises Stuck, Endless."""
        main = asyncio.ensure_future(future, loop=self)
        before = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._finish)
        asyncio._set_running_loop(self)
        self._running = True
        try:
            self._moment()
            while not main.done():
                self._pass()
                self._moment()
        finally:
            self._running = False
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*before)
        return main.result()

    def _moment(self) -> None:
        """All that happens before time passes."""
        ready, chance, fifo = self._ready, self._chance, self._fifo
        after_step = self.after_step
        place, ran = 0, 0
        while (left := len(ready) - place) > 0:
            if fifo:
                handle = ready[place]
                place += 1
            else:
                if left > 1:
                    drawn = int(chance() * left)
                    ready[drawn], ready[-1] = ready[-1], ready[drawn]
                handle = ready.pop()
            if handle.off:
                continue
            owner = handle.context.get(OWNER)
            if owner is not None and owner.dead:
                continue
            if owner is not None and owner.held is not None:
                owner.held.append(handle)
                continue
            ran += 1
            try:
                handle.context.run(handle.callback, *handle.args)
            except Exception as error:  # noqa: BLE001  # as asyncio does: told, and the others go on
                self.call_exception_handler({"message": f"a callback failed: {handle.callback!r}", "exception": error})
            if isinstance(self.interrupted, Endless):
                raise self.interrupted
            if self.interrupted is not None:
                raise Interrupted("from outside, by a time limit or by hand") from self.interrupted
            if after_step is not None and owner is not None and not owner.dead:
                after_step(owner)
            if ran > AT_ONE_MOMENT:
                raise Endless(f"{ran} callbacks at {self.now:.6f} s, the last one {handle.callback!r}")
        ready.clear()
        self.steps += ran
        if self.steps > IN_ALL:
            raise Endless(f"{self.steps} callbacks in {self.now:.1f} s of virtual time")

    def _pass(self) -> None:
        """Time leaps to what is due next."""
        timers = self._timers
        while timers and timers[0][3].off:
            heapq.heappop(timers)
        if not timers:
            raise Stuck(f"nothing is due after {self.now:.6f} s")
        self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            self._ready.append(heapq.heappop(timers)[3])

    # --- what asyncio asks of a loop

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        """See asyncio."""
        handle = Handle(callback, args, copy_context() if context is None else context, self.now)
        if not self._closed:
            self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """See asyncio. Of those that are due at once the seed draws the order."""
        handle = Handle(callback, args, copy_context() if context is None else context, when)
        if not self._closed:
            self._numbers += 1
            heapq.heappush(self._timers, (when, self._chance(), self._numbers, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """See asyncio."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> Task[T]:
        """See asyncio."""
        if self._closed:
            coro.close()
            raise RuntimeError("the loop is closed")
        self._numbers += 1
        number = self._numbers
        # Its number has to be there before asyncio puts it into a set.
        task: Task[T] = Task.__new__(Task)
        task.number = number
        task.owner = OWNER.get() if context is None else context.get(OWNER)
        Task.__init__(task, coro, loop=self, name=name or f"task-{number}", context=context)
        self._tasks[number] = task
        if len(self._tasks) > self._look_at:
            self._look_at = 2 * len(self.tasks()) + 500
        return task

    def tasks(self) -> list[Task[Any]]:
        """Those that are not done, the oldest first."""
        self._tasks = {number: task for number, task in self._tasks.items() if not task.done()}
        return list(self._tasks.values())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See asyncio: kept in `complaints`."""
        if not self._closed:
            error = context.get("exception")
            said = f"{context.get('message')}{f': {type(error).__name__}: {error}' if error else ''}"
            self.complaints.append(said)

    def get_debug(self) -> bool:
        """See asyncio."""
        return False

    def is_running(self) -> bool:
        """See asyncio."""
        return self._running

    def is_closed(self) -> bool:
        """See asyncio."""
        return self._closed

    def _finish(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(generator.aclose(), name="end of a generator")

    # --- owners

    def hold(self, owner: Owner) -> None:
        """Nothing of theirs runs from now on, until `release`: a process that is stopped, a loop that stalls."""
        if owner.held is None:
            owner.held = []

    def release(self, owner: Owner) -> None:
        """It goes on."""
        held, owner.held = owner.held, None
        self._ready += held or ()

    def kill(self, owner: Owner) -> None:
        """Nothing of theirs runs any more: not what follows an `await`, no `finally`. As a process that is killed."""
        owner.dead = True
        owner.held = None

    def close(self) -> None:
        """The end: what has not run never will. The tasks of the dead are let go of, and what they say is not heard."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        asyncio._set_running_loop(self)
        for task in self.tasks():
            with contextlib.suppress(BaseException):  # the dead may say what they like
                task.get_coro().close()
        asyncio._set_running_loop(None)
        self._tasks.clear()
