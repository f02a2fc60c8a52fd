"""A user behind a load balancer, who notices every answer that is not right."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator

from torture.client import Answer, Connections


class User:
    """A user with keys of its own and a cookie: what it reads is what it wrote, on whichever instance."""

    def __init__(self, number: int, port: int) -> None:
        self.requests = 0
        self._key = f"/config/performance_tests/{number}"
        self._keeps_its_connection = number % 2 == 0
        self._connections = Connections([port])
        self._cookie = ""
        self._values = itertools.count()

    def __call__(self) -> None:
        """One round: it writes, reads in every way, and deletes. Raises AssertionError for any other answer."""
        for value in (str(next(self._values)).encode(), str(next(self._values)).encode()):
            assert self._ask("PUT", value).status in (200, 201)
            for query in ("", "", "?use_cache=false", "?consistency=linearizable"):
                assert self._ask("GET", query=query).body == value
        assert self._ask("DELETE").status == 204
        for query in ("", "?use_cache=false"):
            assert self._ask("GET", query=query, expected=(404,)).status == 404

    def close(self) -> None:
        """Ends its connection."""
        self._connections.close()

    def _ask(
        self, method: str, body: bytes | None = None, query: str = "", expected: tuple[int, ...] = (200, 201, 204)
    ) -> Answer:
        headers = {"Cookie": self._cookie} if self._cookie else {}
        answer = self._connections.send(0, method, self._key + query, body, headers)
        assert answer.status in expected, f"request {self.requests}: {method} {query}: {answer}"
        if found := re.match("config_revision_[0-9a-f]{16}=[0-9]+", answer.headers.get("set-cookie", "")):
            self._cookie = found[0]
        self.requests += 1
        if not self._keeps_its_connection:
            self.close()
        return answer


@contextlib.contextmanager
def users(count: int, port: int) -> Iterator[list[User]]:
    """So many, each with keys of its own, for as long as this is entered."""
    everybody = [User(number, port) for number in range(count)]
    try:
        yield everybody
    finally:
        for user in everybody:
            user.close()
