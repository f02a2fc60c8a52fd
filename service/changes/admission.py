"""How many may wait for changes: of an instance, and of those who bear one token. Whoever comes later is told when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

from service.http.problems import refused

RETRY_AFTER = 5
"""Seconds after which whoever was refused may try again."""


class Admission:
    """most: of all together. most_of_token: of those who bear the same one; who bears none is bound by `most` alone.

    counted: is told the change of how many wait, by encoding.
    """

    def __init__(self, most: int, most_of_token: int, counted: Callable[[str, int], None]) -> None:
        self._most = most
        self._most_of_token = most_of_token
        self._counted = counted
        self._by_token: Counter[str] = Counter()
        self.waiting = 0

    @contextmanager
    def admitted(self, encoding: str, token: str) -> Iterator[None]:
        """One more, for as long as the block lasts. token: its name, or "". Raises Refused (429)."""
        if self.waiting >= self._most:
            raise self._too_many(f"This instance has {self.waiting} clients that wait for changes, and takes no more.")
        if token and self._by_token[token] >= self._most_of_token:
            many = self._by_token[token]
            raise self._too_many(f"{many} clients with the token {token} wait for changes here, and no more may.")
        self._count(encoding, token, 1)
        try:
            yield
        finally:
            self._count(encoding, token, -1)

    def _count(self, encoding: str, token: str, change: int) -> None:
        self.waiting += change
        if token:
            self._by_token[token] += change
            if not self._by_token[token]:
                del self._by_token[token]
        self._counted(encoding, change)

    @staticmethod
    def _too_many(detail: str) -> Exception:
        return refused(HTTPStatus.TOO_MANY_REQUESTS, "too-many-waiters", detail, retry_after=RETRY_AFTER)
