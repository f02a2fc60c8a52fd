"""Sends large answers piece by piece, as their clients take them; so many at a time, and to nobody who takes too long.

The server copies an answer that it is given whole, and keeps the copy until its client has read it: a thousand clients
that ask for the largest file and never read would each have one. Of an answer in pieces it asks for the next one when
the one before is on its way, and holds a thread meanwhile. So this owns the places for such threads, and stops an
answer whose client takes less than LEAST_RATE; the kernel ends connections that take nothing
(`service.process.listener`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from service.http.answers import answer_problem
from service.http.hit_path import STATUS_LINES, StartResponse, WsgiApplication, to_wire
from service.http.problems import refused
from service.memory.budget import Budget

LARGE = 32 * 1024
"""Bytes. Smaller answers are sent whole: a connection has one at a time, and costs that much anyway."""

PIECE = 64 * 1024

PATIENCE = 0.1
"""Seconds to wait for a place."""

GRACE = 5.0
"""Seconds that any answer may take."""

LEAST_RATE = 64 * 1024
"""Bytes a second, beyond the grace."""

Environ = dict[str, Any]


class LargeAnswers:
    """WSGI middleware: it looks at answers that are ready, and takes them whole."""

    def __init__(self, application: WsgiApplication, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        """places: large answers under way at once."""
        self._application = application
        self._places = Budget(places)
        self._clock = clock

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The same answer; or 503, when too many others are being taken slowly."""
        body = self._application(environ, start_response)
        if isinstance(body, list) and (not body or (len(body) == 1 and len(body[0]) <= LARGE)):
            return body  # of most requests
        try:
            whole = b"".join(body)
        finally:
            if close := getattr(body, "close", None):
                close()
        if len(whole) <= LARGE:
            return [whole]
        if self._places.take(1, PATIENCE):
            return _Pieces(whole, self._clock, lambda: self._places.give_back(1))
        # The answer of before is not begun yet: WSGI's servers wait for the first piece of the body.
        status, headers, told = to_wire(answer_problem(_TOO_MANY.problem))
        start_response(STATUS_LINES[status], headers)
        return [told]


class _Pieces(Iterator[bytes]):
    """One answer on its way. The server calls `close` when its client has gone before the end."""

    def __init__(self, whole: bytes, clock: Callable[[], float], closed: Callable[[], None]) -> None:
        self._whole = whole
        self._clock = clock
        self._closed: Callable[[], None] | None = closed
        self._started = clock()
        self._at = 0

    def __next__(self) -> bytes:
        if self._at >= len(self._whole) or self._clock() - self._started > GRACE + self._at / LEAST_RATE:
            self.close()
            raise StopIteration  # if before its end, the server finds the Content-Length not kept, and closes
        piece = self._whole[self._at : self._at + PIECE]
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Gives the place back, once."""
        if closed := self._closed:
            self._closed = None
            self._whole = b""
            closed()


_TOO_MANY = refused(
    HTTPStatus.SERVICE_UNAVAILABLE, "too-many-answers", "Too many large answers are being sent.", retry_after=1
)
