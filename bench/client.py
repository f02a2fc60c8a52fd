"""A plain client on one kept connection: for what is not a matter of speed, or only of one request at a time."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Client:
    """One connection to `url`, closed at the end of the `with`."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers, their names in lower case. Raises OSError, or ValueError when it is no success."""
        kind = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, path, body, {**kind, **(headers or {})})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise ValueError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content, {name.lower(): value for name, value in answer.getheaders()}


def answers(url: str) -> bool:
    """Whether a GET of it succeeds at this moment."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_for(claim: Callable[[], bool], within: float, what: str) -> None:
    """Returns when it holds. Raises TimeoutError, saying what it waited for."""
    until = time.monotonic() + within
    while not claim():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within:.0f} s: {what}")
        time.sleep(0.02)
