"""The only creator of tasks, what tasks wait for, and the calls that several of them share. Belongs to one loop.

Each task has an owner, which awaits its end; none is dropped, and no failure goes unseen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

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


# What tasks wait for: a state has changed, an amount has been given back, a call is over

TICK = 0.001
"""Seconds: uvloop's timers end up to this much early, and a shorter one at once. To set a timer anew for what is left
would be to do so again and again until it is over."""


class Broadcast:
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


class Budget:
    """An amount, in any unit, that is lent out: whoever finds too little left waits a moment, then does without."""

    def __init__(self, amount: int) -> None:
        self._free = amount
        self._returned = Broadcast()
        self._awaited = False  # somebody waits, or has waited, since the last time that was told

    @property
    def free(self) -> int:
        """What is not lent at this moment."""
        return self._free

    async def take(self, amount: int, patience: float = 0.0) -> bool:
        """Return whether it could be lent within `patience` seconds. Every True is answered by one `give_back`.

        Nothing is kept for who needs more: small loans may overtake a large one.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while amount > self._free:
            left = deadline - loop.time()
            if left <= 0:
                return False
            self._awaited = True
            if not await self._returned.wait(left):
                return False
        self._free -= amount
        return True

    def give_back(self, amount: int) -> None:
        """Give back what was taken."""
        self._free += amount
        if self._awaited:
            self._awaited = False
            self._returned.tell()

    @asynccontextmanager
    async def lent(self, amount: int, patience: float) -> AsyncIterator[bool]:
        """Lend for as long as the block lasts; whether it could be done."""
        taken = await self.take(amount, patience)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(amount)


# A call that several wait for

GRACE = 0.1
"""Seconds beyond a deadline for which one waits to hear in which words what had the same deadline has failed."""

C = TypeVar("C", bound="SharedCall")


class SharedCall:
    """One call, joined until it is `sent`; then `done`, with an `error` or without.

    joined: how many callers joined it. goes: whether it has a lane. deadline: local seconds, of the caller who has most
    time left.
    """

    def __init__(self) -> None:
        self.joined = 0
        self.deadline = float("-inf")
        self.goes = False
        self.sent = False
        self.done = False
        self.error: StoreError | None = None
        self._ended = Broadcast()

    @property
    def waiting(self) -> int:
        """How many wait for it now."""
        return self._ended.waiting

    async def wait(self, seconds: float) -> bool:
        """Wait until it is done, at most `seconds`; whether it is."""
        if not self.done:
            await self._ended.wait(seconds)
        return self.done

    def has_room_for(self, asked: Any) -> bool:
        """Whether who asks for this may join."""
        raise NotImplementedError

    def finish(self) -> None:
        """Wake all who wait: it is done."""
        self.done = True
        self._ended.tell()

    def raise_error(self) -> None:
        """Raise what ended it, if it failed."""
        if self.error is not None:
            raise type(self.error)(*self.error.args) from self.error


class SharedCalls(Generic[C]):
    """Calls to the store that several callers share: those that come while one is under way go together with the next.

    Owns the queue, the lanes and the waiting. Knows nothing of what is asked or written: `ReadBatches` and
    `GroupCommit` do, each with its own rule of who may join. A lone caller goes at once; a crowd pays for one call.
    A call that was sent has a task of its own: a caller that goes away gives up its wait and takes nothing from the
    others.

    Two rules make a crowd go together, without a timer. Without them, when an answer lets sixty callers go, the first
    ones to come back would each take a lane for themselves, again and again:
      - a call that has a lane is closed one turn of the loop later: those whom the last answer has woken go along;
      - a call with fewer callers than one that has a lane waits for company, or until that one's lane is free.

    `clock` gives local seconds, as in the deadlines.

    new: a call that nobody has joined yet. send: make a call within so many seconds. Raises StoreError.
    lost: the error of a call that ends in another way.
    lanes: how many calls may be under way. patience: seconds after which one that hangs gives its lane to the next;
    0: it keeps it.
    """

    def __init__(
        self,
        name: str,
        new: Callable[[], C],
        send: Callable[[C, float], Awaitable[None]],
        *,
        clock: Callable[[], float],
        errands: Errands,
        lost: StoreError,
        lanes: int,
        patience: float = 0.0,
    ) -> None:
        self._name = name
        self._new = new
        self._send = send
        self._clock = clock
        self._errands = errands
        self._lost = lost
        self._lanes = lanes
        self.patience = patience
        self._open: C | None = None  # takes callers; not sent yet
        self.queue: list[C] = []  # those without a lane, oldest first
        self._under_way: list[C] = []  # those with one

    def open(self, asked: object) -> C:
        """The call that takes callers, if it has room for what is `asked`; else a new one."""
        call = self._open
        if call is None or not call.has_room_for(asked):
            self._open = call = self._new()
            self.queue.append(call)
        return call

    def join(self, call: C, deadline: float) -> Awaitable[bool]:
        """Be a caller of one that is `open`, until it is done or `deadline` (local seconds); whether it is done.

        What is returned has to be awaited.
        """
        call.joined += 1
        if deadline > call.deadline:
            call.deadline = deadline
        if not call.goes and self._may_go(call):
            self._go(call)
        return self.wait(call, deadline)

    def wait(self, call: C, deadline: float) -> Awaitable[bool]:
        """Wait for one that may have been sent already; whether it is done by `deadline`."""
        return call.wait(deadline - self._clock() + GRACE)

    def _may_go(self, call: C) -> bool:
        """Whether there is a lane for it, and enough company in it: see the class."""
        return len(self._under_way) < self._lanes and all(call.joined >= other.joined for other in self._under_way)

    def _go(self, call: C) -> None:
        """Take a lane. A caller that comes before its task begins still goes along."""
        self.queue.remove(call)
        call.goes = True
        self._under_way.append(call)
        self._errands.start(self._run(call), self._name)

    async def _run(self, call: C) -> None:
        call.sent = True  # from here on nobody joins
        if self._open is call:
            self._open = None
        alarm = self.patience and asyncio.get_running_loop().call_later(self.patience, self._give_lane_on, call)
        try:
            if call.waiting:  # else all have given up
                await self._send(call, call.deadline - self._clock())
        except StoreError as error:
            call.error = error
        except BaseException:
            call.error = self._lost
            raise
        finally:
            if alarm:
                alarm.cancel()
            call.finish()
            self._give_lane_on(call)

    def _give_lane_on(self, call: C) -> None:
        if call in self._under_way:
            self._under_way.remove(call)
        for waiting in tuple(self.queue):
            if self._may_go(waiting):
                self._go(waiting)
