"""The only creator of tasks, and what tasks wait for.

Each task has an owner, which awaits its end; none is dropped, and no failure goes unseen. Belongs to one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from consistency.core.events import Observer, WorkerFailed
from consistency.core.model import PreconditionFailed
from consistency.core.store import StoreError

T = TypeVar("T")

RESTART_PAUSE = 1.0
"""Seconds before a worker that failed unexpectedly starts over."""

NOBODY = "cancelled, and nobody had asked for it"


def is_to_end() -> bool:
    """Whether a CancelledError that has just been caught means this task, and has to be raised again.

    It comes, too, to whoever awaits what somebody else has cancelled: a call of gRPC whose channel was closed, a task.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class Worker:
    """Runs `run(worker)` over and over until it is stopped. `run` sleeps by `pause`; at a stop it is cancelled.

    A `run` that has something to give back does so when it is cancelled, and not for long: the owner waits for it. One
    that returns instead of passing the cancellation on is not run again.
    """

    def __init__(self, name: str, run: Callable[[Worker], Awaitable[None]], observer: Observer) -> None:
        self.name = name
        self._run = run
        self._observer = observer
        self._bell = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin; once, on the loop. After `cancel` nothing is run any more."""
        self._task = asyncio.create_task(self._work(), name=self.name)

    def wake(self) -> None:
        """End a `pause` early, the present one or the next."""
        self._bell.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, unless or until woken. For the worker itself."""
        if self._stopped:
            raise asyncio.CancelledError  # it was told before, and has gone on
        await within(self._bell, seconds)
        self._bell.clear()

    def cancel(self) -> None:
        """Ask it to end."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def ended(self, timeout: float) -> bool:
        """Wait for its end, at most `timeout` seconds; whether it came."""
        if self._task is None:
            return True
        _, late = await asyncio.wait((self._task,), timeout=max(0.0, timeout))
        if late:
            return False
        self._task = None  # it remembers where it ended, and so whatever it had in hand there
        return True

    async def _work(self) -> None:
        while not self._stopped:
            try:
                await self._run(self)
            except asyncio.CancelledError:
                if is_to_end():
                    raise
                await self._failed(NOBODY)
            except Exception as error:  # noqa: BLE001  # whatever it is, the instance must not go on without this worker
                await self._failed(_named(error))

    async def _failed(self, how: str) -> None:
        _tell(self._observer, WorkerFailed(self.name, how))
        await self.pause(RESTART_PAUSE)


class Errands:
    """Tasks that go on when who waits for them has gone: what was sent is seen through.

    Errors that the protocol foresees belong to whoever awaits the task; the observer is told of any other.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cut_short: set[asyncio.Task[Any]] = set()  # on purpose

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Begin `work`."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def see_through(self, work: Coroutine[Any, Any, T], name: str, *, lost: StoreError) -> T:
        """Return the result of `work`, which goes on even if the caller is cancelled.

        Raises what `work` raises; `lost` if it was cut short, so that nobody knows how far it came.
        """
        try:
            return await asyncio.shield(self.start(work, name))
        except asyncio.CancelledError:
            if is_to_end():
                raise
            raise type(lost)(*lost.args) from None  # one of its own for each: it keeps the frames that it passes

    def cut_short(self, task: asyncio.Task[Any]) -> None:
        """Let go of one that nobody needs any more."""
        if task.cancel():
            self._cut_short.add(task)

    async def stop(self, timeout: float) -> bool:
        """Wait for all of them and for what they lead to, at most `timeout` seconds, then cut the rest short.

        Return whether all have ended.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while self._tasks and (left := end - loop.time()) > 0:
            await asyncio.wait(tuple(self._tasks), timeout=left)
        self._cut_short |= self._tasks
        for task in self._cut_short:
            task.cancel()
        if self._cut_short:
            await asyncio.wait(tuple(self._cut_short), timeout=0.1)
        return not self._cut_short

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            unforeseen = "" if task in self._cut_short else NOBODY
        else:
            error = task.exception()
            foreseen = error is None or isinstance(error, StoreError | PreconditionFailed)
            unforeseen = "" if foreseen else _named(error)
        self._tasks.discard(task)
        self._cut_short.discard(task)
        if unforeseen:
            _tell(self._observer, WorkerFailed(task.get_name(), unforeseen))


def _named(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


def _tell(observer: Observer, event: WorkerFailed) -> None:
    """An observer that fails, too, ends nothing: the loop's own handler is told of both."""
    try:
        observer(event)
    except Exception as error:  # noqa: BLE001
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{event.name} failed ({event.detail}), and so did who was told", "exception": error}
        )


# What tasks wait for: a state has changed, a call is over

TICK = 0.001
"""Seconds: uvloop's timers end up to this much early, and a shorter one at once. To set a timer anew for what is left
would be to do so again and again until it is over."""


class News:
    """Wakes all waiting tasks at each change; a later one waits for the next change.

    One timer serves all waiting tasks, however many: it rings when the first of them gives up.
    """

    def __init__(self) -> None:
        self._waiters: dict[asyncio.Future[bool], float] = {}  # with the loop's seconds at which each gives up
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0  # asked of ourselves: of a timer of less than a millisecond uvloop has no `when`

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def tell(self) -> None:
        """Something has changed."""
        for waiter in self._waiters:
            _wake(waiter, True)

    async def wait(self, seconds: float) -> bool:
        """Return when something has changed, or after `seconds`; whether something has."""
        if seconds <= 0:
            return False
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters[waiter] = end = loop.time() + seconds
        if self._timer is None or end < self._rings_at:
            self._set_timer(loop, end)
        try:
            return await waiter
        finally:
            del self._waiters[waiter]
            if not self._waiters:
                self._stop_timer()

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiter, end in self._waiters.items():
            if end <= now:
                _wake(waiter, False)
        self._stop_timer()
        if left := [end for end in self._waiters.values() if end > now]:
            self._set_timer(loop, max(min(left), now + TICK))

    def _set_timer(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._stop_timer()
        self._timer, self._rings_at = loop.call_at(at, self._ring), at

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _wake(waiter: asyncio.Future[bool], changed: bool) -> None:
    if not waiter.done():  # else it was woken or cancelled before, and has not left yet
        waiter.set_result(changed)


GRACE = 0.1
"""Seconds beyond a deadline for which one waits to hear in which words what had the same deadline has failed."""


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, at most `seconds`; whether it came."""
    if event.is_set():
        return True
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
