"""Reads of the past that several clients share: one question is asked once, while it is under way and a while after.

Owns the answers, within a bound in bytes. What is read never changes, so it can't grow old. Those who have waited for
the same answer go on a few at a time (`crowd`). Belongs to one loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

from consistency.core.store import StoreError, Unavailable
from consistency.instance.crowd import Crowd, Waiter
from consistency.tasks import Errands

T = TypeVar("T")


class _Asked(Generic[T]):
    """A question that is being asked. waiters: who wait for the answer."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[T | StoreError]) -> None:
        self.task = task
        self.waiters: list[Waiter] = []


class SharedReads(Generic[T]):
    """weigh: bytes of an answer. most: bytes of all that are kept; the one asked for longest ago goes first."""

    def __init__(self, name: str, errands: Errands, crowd: Crowd, weigh: Callable[[T], int], most: int) -> None:
        self._name = name
        self._errands = errands
        self._crowd = crowd
        self._weigh = weigh
        self._most = most
        self._under_way: dict[Hashable, _Asked[T]] = {}
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0

    async def get(self, question: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> T:
        """The answer to `question`, which `ask` gets if nobody has. A cancelled caller takes nothing from the others.

        Raises what `ask` does of the store's errors, and Unavailable if it is cut short.
        """
        if (kept := self._kept.get(question)) is not None:
            self._kept.move_to_end(question)
            return kept
        asked = self._under_way.get(question) or self._begin(question, ask)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        asked.waiters.append(waiter)
        await waiter
        if asked.task.cancelled():
            raise Unavailable("the read was abandoned")
        answer = asked.task.result()
        if isinstance(answer, StoreError):
            raise type(answer)(*answer.args) from answer  # one of its own for each: it keeps the frames that it passes
        return answer

    def _begin(self, question: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> _Asked[T]:
        task = self._errands.start(self._ask(question, ask), self._name)
        asked = self._under_way[question] = _Asked(task)
        task.add_done_callback(lambda _: self._end(question))
        return asked

    async def _ask(self, question: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> T | StoreError:
        try:
            answer = await ask()
        except StoreError as error:
            return error
        self._keep(question, answer)
        return answer

    def _end(self, question: Hashable) -> None:
        """Before all others are woken: of those, some would wait for this, too."""
        self._crowd.wake(self._under_way.pop(question).waiters, first=True)

    def _keep(self, question: Hashable, answer: T) -> None:
        size = self._weigh(answer)
        if size > self._most:
            return
        self._kept[question] = answer
        self._bytes += size
        while self._bytes > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= self._weigh(oldest)
