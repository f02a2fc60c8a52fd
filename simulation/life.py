"""One process of an instance: the real `AsyncDistributedCache`, from its start to its end, under a clock of its own.

Requests come by `Life.answer`, as the service makes a task for each of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.events import Event
from consistency.core.store import Store
from simulation.loop import Loop
from simulation.owners import OWNER, Owner, Task
from simulation.plan import Machine

DRAINED_WITHIN = 8.0
"""Virtual seconds that requests have to end before an orderly stop goes on."""

EPOCH = 1.8e9
"""What wall clocks show at the beginning."""


class Clock:
    """Local seconds, at a rate of their own."""

    def __init__(self, loop: Loop, machine: Machine) -> None:
        self._loop = loop
        self._rate = machine.rate
        self._booted = machine.booted

    def __call__(self) -> float:
        return self._booted + self._loop.now * self._rate


class Gone(Exception):
    """The process that was asked is no more, or there was none."""


class GaveUp(Gone):
    """The client waited no longer."""


class Life:
    """One process, from its start to its end."""

    def __init__(
        self, name: str, loop: Loop, machine: Machine, connect: Callable[[Clock], Store], told: Callable[[Event], None]
    ) -> None:
        self.owner = Owner(name)
        self.stopping = False
        self.held_at_its_end = False
        """Whether it was held while it was stopping: then what it gives its parts time for may come too late."""
        self._loop = loop
        self._requests: dict[asyncio.Task[Any], asyncio.Future[Any]] = {}
        self._context = copy_context()
        self._context.run(self._begin, machine, connect, told)

    cache: AsyncDistributedCache
    store: Store

    def _begin(self, machine: Machine, connect: Callable[[Clock], Store], told: Callable[[Event], None]) -> None:
        OWNER.set(self.owner)
        clock = Clock(self._loop, machine)
        self.store = connect(clock)
        self.cache = AsyncDistributedCache(
            self.store,
            machine.options,
            description=json.dumps({"boot": self.owner.name}),
            observer=told,
            clock=clock,
            wall=lambda: EPOCH + self._loop.now * machine.rate,
        )
        self.cache.start()

    @property
    def requests(self) -> int:
        """How many are under way."""
        return len(self._requests)

    @property
    def runs(self) -> bool:
        """Whether it would act at once: it is not dead, held, or about to end."""
        return not (self.owner.dead or self.owner.held is not None or self.stopping)

    def call(self, work: Coroutine[Any, Any, Any]) -> Task[Any]:
        """A request: a task of this process."""
        return self._context.run(lambda: self._loop.create_task(work, name="request"))

    async def answer(self, work: Coroutine[Any, Any, Any], patience: float) -> Any:
        """The answer to a request. Raises what it raises; Gone when the process dies; GaveUp after `patience`.

        A client that goes away is noticed: the request is cancelled, as the service does.
        """
        if self.owner.dead or self.stopping:
            work.close()
            raise Gone("refused")
        task = self.call(work)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._requests[task] = answer
        task.add_done_callback(self._answered)
        alarm = self._loop.call_later(patience, _give_up, answer)
        try:
            return await answer
        except GaveUp:
            task.cancel()
            raise
        finally:
            alarm.cancel()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        answer = self._requests.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if answer is None or answer.done():  # None: the process has died meanwhile, and `die` has told the client
            return
        if task.cancelled():
            answer.set_exception(RuntimeError("cancelled, and nobody had asked for it"))
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    def die(self) -> None:
        """SIGKILL: nothing of it runs any more, and its clients' connections end."""
        self._loop.kill(self.owner)
        requests, self._requests = self._requests, {}
        for answer in requests.values():
            if not answer.done():
                answer.set_exception(Gone("killed"))

    def stop(self) -> Task[list[str]]:
        """SIGTERM: no new requests, those under way are finished, then `close`. The problems found at the end."""
        self.stopping = True
        return self.call(self._stop())

    async def _stop(self) -> list[str]:
        if self._requests:
            await asyncio.wait(tuple(self._requests), timeout=DRAINED_WITHIN)
        problems: list[str] = []
        try:
            await self.cache.close()
        except RuntimeError as error:
            problems.append(f"close: {error}")
        await self.store.close()
        left = [task for task in self._loop.tasks() if task.owner is self.owner and task is not asyncio.current_task()]
        problems += [f"a task is left after close: {task.get_name()}" for task in left if task not in self._requests]
        self.die()
        return [] if self.held_at_its_end else problems


def _give_up(answer: asyncio.Future[Any]) -> None:
    if not answer.done():
        answer.set_exception(GaveUp("gave up"))
