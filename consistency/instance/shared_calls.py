"""Calls to the store that several callers share: callers that come while one is under way go together with the next.

Owns the queue, the lanes and the waiting. Knows nothing of what is asked or written: `read_batches` and `group_commit`
do, each with its own rule of who may join. Belongs to one loop. A lone caller goes at once; a crowd pays for one call.

A call that was sent has a task of its own: a caller that goes away gives up its wait and takes nothing from the others.

Two rules make a crowd go together, without a timer. Without them, when an answer lets sixty callers go, the first ones
to come back would each take a lane for themselves, again and again:
  - a call that has a lane is closed one turn of the loop later: those whom the last answer has woken go along;
  - a call with fewer callers than one that has a lane waits for company, or until that one's lane is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from consistency.core.store import StoreError
from consistency.tasks import GRACE, Errands, News


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
        self._ended = News()

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


C = TypeVar("C", bound=SharedCall)


class SharedCalls(Generic[C]):
    """See the module's opening. `clock` gives local seconds, as in the deadlines.

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
        """Whether there is a lane for it, and enough company in it: see the module's opening."""
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
