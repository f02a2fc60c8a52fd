"""Counts the clients that wait for changes, and bounds them: for the whole instance, and for each token.

A client that is refused is told when to come again. An instance that drains lets all clients go, at moments of chance.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Self

from consistency.instance.following import Following
from service.http.problems import refused

RETRY_AFTER = 5
"""Seconds after which a refused client may try again."""

HASTE = 1.0
"""Seconds over which those who wait are let go when the instance drains."""

MOMENTS = 200
"""So many of them: few clients have one each. With ten thousand timers the loop would stand still for 20 ms."""


class Admission:
    """most: of all clients. most_of_token: of those with the same token; clients without one are bound by `most` alone.

    counted: is told the change of how many wait, by encoding. Belongs to one loop.
    """

    def __init__(self, most: int, most_of_token: int, counted: Callable[[str, int], None]) -> None:
        self._most = most
        self._most_of_token = most_of_token
        self._counted = counted
        self._by_token: Counter[str] = Counter()
        self._places: set[Place] = set()
        self.draining = False

    @property
    def waiting(self) -> int:
        """How many do."""
        return len(self._places)

    def start_draining(self) -> None:
        """Let everybody go, over HASTE seconds: with what has been told, and nothing is lost."""
        self.draining = True
        waiting = tuple(self._places)
        for first in range(min(len(waiting), MOMENTS)):
            asyncio.get_running_loop().call_later(random.uniform(0.0, HASTE), _hasten, waiting[first::MOMENTS])

    def enter(self, place: Place) -> None:
        """One more waits, until it leaves. Raises Refused (429)."""
        token = place.token
        if self.waiting >= self._most:
            raise self._too_many(f"This instance has {self.waiting} clients that wait for changes, and takes no more.")
        if token and self._by_token[token] >= self._most_of_token:
            many = self._by_token[token]
            raise self._too_many(f"{many} clients with the token {token} wait for changes here, and no more may.")
        self._places.add(place)
        self._count(place, 1)
        if self.draining:
            place.following.hasten()

    def leave(self, place: Place) -> None:
        """It waits no more."""
        self._places.discard(place)
        self._count(place, -1)

    def _count(self, place: Place, change: int) -> None:
        if token := place.token:
            self._by_token[token] += change
            if not self._by_token[token]:
                del self._by_token[token]
        self._counted(place.encoding, change)

    @staticmethod
    def _too_many(detail: str) -> Exception:
        return refused(HTTPStatus.TOO_MANY_REQUESTS, "too-many-waiters", detail, retry_after=RETRY_AFTER)


class Place:
    """What one client has while it waits: it is counted, and follows its scope. A context.

    encoding: in which it is told. token: the name of the one that it bears, or "". Without a generator behind it: there
    are thousands of these.
    """

    __slots__ = ("_admission", "encoding", "following", "token")

    def __init__(self, admission: Admission, following: Following, encoding: str, token: str) -> None:
        self._admission = admission
        self.following = following
        self.encoding = encoding
        self.token = token

    @property
    def draining(self) -> bool:
        """Whether it is to be left soon."""
        return self._admission.draining

    def __enter__(self) -> Self:
        self._admission.enter(self)
        self.following.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.following.__exit__(kind, error, trace)
        self._admission.leave(self)


def _hasten(places: Iterable[Place]) -> None:
    for place in places:
        place.following.hasten()
