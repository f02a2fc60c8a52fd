"""How often the fleet is asked, however many want to know: one question about its states at a time, a few about a key.

Owns the questions under way and the last answers. Knows nothing of what is asked. Belongs to one loop.

1. A and B ask how the fleet is. A's question goes out; B waits for its answer.
2. A goes away. The question goes on: B waits for it, and whoever comes next is answered by it.
3. A member hangs, and the question takes longer than a moment. C is given the last answer, with its age.
4. D wants the last minutes as well. That is another question, and waits until the first one has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from consistency.core.store import Unavailable
from consistency.tasks import Errands
from service.http.problems import Refused, refused

SHARED_FOR = 0.5
"""Seconds for which all who look are shown the same answer: many open pages ask the fleet no more often than one."""

MOMENT = 0.3
"""Seconds after which whoever waits is given the last answer instead."""

LAST_FOR = 10.0
"""Seconds for which the last answer is better than having to wait."""

AT_ONCE = 4
"""Questions about keys that are under way at the same time; each may ask all 64, and as many that wait for a slot."""

OF_ONE_TOKEN = 2
"""Of them, those of one token. Where there are no tokens, all are nobody's, and only AT_ONCE holds."""

ASKERS = 1000
"""Most clients that wait for an answer at the same time."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered to a question that was put and had ended at these local times, in seconds."""

    put: float
    ended: float
    text: bytes


@dataclass(slots=True)
class Latest:
    """The last answers, each to one target, and the one question that is under way.

    ask: puts the question, with the header Authorization of who came first. askers: who may wait at the same time.
    """

    ask: Callable[[str, str], Awaitable[bytes]]
    errands: Errands
    askers: int
    clock: Callable[[], float] = time.monotonic
    _last: dict[str, Answered] = field(default_factory=dict)
    _under_way: tuple[str, asyncio.Task[Answered]] | None = None
    _waiting: int = 0

    async def get(self, target: str, authorization: str) -> tuple[bytes, float]:
        """The answer, and its age in seconds. Raises Refused (503), Unavailable, and what `ask` raises."""
        if (last := self._no_older(target, SHARED_FOR)) is None:
            last = await self._counted(target, authorization)
        return last.text, self.clock() - last.put

    async def _counted(self, target: str, authorization: str) -> Answered:
        """The last of too many gets the answer that there is, or is refused."""
        if self._waiting >= self.askers:
            if last := self._no_older(target, LAST_FOR):
                return last
            raise _too_many(f"{self.askers} others wait for the same already")
        self._waiting += 1
        try:
            return await self._wait(target, authorization)
        finally:
            self._waiting -= 1

    async def _wait(self, target: str, authorization: str) -> Answered:
        """Two questions long at most: the one that is under way about something else, and this one."""
        until = self.clock() + MOMENT
        while True:
            asked, question = self._under_way or self._begin(target, authorization)
            last = self._no_older(target, LAST_FOR)
            await asyncio.wait((question,), timeout=None if last is None else max(0.0, until - self.clock()))
            if not question.done() and last is not None:
                return last
            if asked == target:
                return _result(question)

    def _no_older(self, target: str, seconds: float) -> Answered | None:
        last = self._last.get(target)
        return last if last is not None and self.clock() - last.ended <= seconds else None

    def _begin(self, target: str, authorization: str) -> tuple[str, asyncio.Task[Answered]]:
        self._under_way = target, self.errands.start(self._put(target, authorization), "question")
        return self._under_way

    async def _put(self, target: str, authorization: str) -> Answered:
        put = self.clock()
        try:
            text = await self.ask(target, authorization)
            self._last[target] = answered = Answered(put, self.clock(), text)
            return answered
        finally:
            self._under_way = None


def _result(question: asyncio.Task[Answered]) -> Answered:
    """Raises what it failed with, and Unavailable if it was given up."""
    if question.cancelled():
        raise Unavailable("this instance is shutting down")
    return question.result()


class Places:
    """Bounds the questions at the same time: so many in all, and so many with one token."""

    def __init__(self, at_once: int = AT_ONCE, of_one: int = OF_ONE_TOKEN) -> None:
        self._at_once = at_once
        self._of_one = of_one
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, token: str | None) -> Iterator[None]:
        """Within the block one is taken by who bears this token, None if there are none. Raises Refused (503)."""
        if self._taken.total() >= self._at_once:
            raise _too_many(f"{self._at_once} others are asking the whole fleet already")
        if token is not None and self._taken[token] >= self._of_one:
            raise _too_many(f"the token {token} is asking the whole fleet {self._of_one} times already")
        self._taken[token or ""] += 1
        try:
            yield
        finally:
            self._taken[token or ""] -= 1
            self._taken += Counter()  # forgets who has none left


def _too_many(found: str) -> Refused:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-questions", f"{found}; not asked.", retry_after=1)
