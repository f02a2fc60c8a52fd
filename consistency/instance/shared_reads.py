"""Reads of the past that several clients share: one question is asked once, while it is under way and a while after.

Owns the answers, within a bound in bytes. What is read never changes, so it can't grow old. Belongs to one loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

from consistency.core.store import StoreError, Unavailable
from consistency.tasks import Errands, is_to_end

T = TypeVar("T")


class SharedReads(Generic[T]):
    """weigh: bytes of an answer. most: bytes of all that are kept; the one asked for longest ago goes first."""

    def __init__(self, name: str, errands: Errands, weigh: Callable[[T], int], most: int) -> None:
        self._name = name
        self._errands = errands
        self._weigh = weigh
        self._most = most
        self._under_way: dict[Hashable, asyncio.Task[T | StoreError]] = {}
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._bytes = 0

    async def get(self, question: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> T:
        """The answer to `question`, which `ask` gets if nobody has. A cancelled caller takes nothing from the others.

        Raises what `ask` does of the store's errors, and Unavailable if it is cut short.
        """
        if (kept := self._kept.get(question)) is not None:
            self._kept.move_to_end(question)
            return kept
        task = self._under_way.get(question)
        if task is None:
            task = self._under_way[question] = self._errands.start(self._ask(question, ask), self._name)
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            if is_to_end():
                raise
            raise Unavailable("the read was abandoned") from None
        if isinstance(answer, StoreError):
            raise type(answer)(*answer.args) from answer  # one of its own for each: it keeps the frames that it passes
        return answer

    async def _ask(self, question: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> T | StoreError:
        try:
            answer = await ask()
        except StoreError as error:
            return error
        finally:
            del self._under_way[question]
        self._keep(question, answer)
        return answer

    def _keep(self, question: Hashable, answer: T) -> None:
        size = self._weigh(answer)
        if size > self._most:
            return
        self._kept[question] = answer
        self._bytes += size
        while self._bytes > self._most:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= self._weigh(oldest)
