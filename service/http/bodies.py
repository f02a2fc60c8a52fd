"""Receives the body of a write, whole or not at all.

Who receives one has a place (`service/http/places.py`). Large ones are checked one at a time, still in their places,
with pauses in which others are answered; and they take room from a budget of bytes until they have been written.

Servers pass a body that was cut short as if it were whole; counting is done here.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import IO, Any

from service.documents.check import MAX_DEPTH, check_document, checking
from service.http.places import Places
from service.http.problems import Refused, bad_request, refused
from service.memory.budget import Budget
from service.memory.capacity import COPIES

Environ = dict[str, Any]

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

PATIENCE = 0.1
"""Seconds to wait for a place."""

LARGE = 32 * 1024
"""Bytes of a document beyond which it is checked alone: the names in it may take nine times as many."""

CHECKED_WITHIN = 2.0
"""Seconds to wait until other large documents have been checked. One of 1 MiB takes from 10 to 500 ms."""

PAUSE = 50e-6
"""Seconds between two slices of a check: whoever waits for the interpreter gets it. Zero would not let go of it."""


class BodyReader:
    """Reads documents from requests. Safe for use from many threads."""

    def __init__(
        self,
        *,
        max_bytes: int,
        threads: int,
        room: int | None = None,
        patience: float = PATIENCE,
        checked_within: float = CHECKED_WITHIN,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`max_bytes`: of one body. `threads`: that work on requests. `patience`: seconds to wait for a place.

        `room`: bytes that large bodies may take, COPIES times their lengths; None: as many as there are threads.
        `checked_within`: seconds that a large document may wait for others to be checked. `pause`: sleeps.
        """
        self._max_bytes = max_bytes
        self.places = Places(threads, patience)
        self._room = Budget(threads * COPIES * max_bytes if room is None else room)
        self._patience = patience
        self._checking = threading.Lock()  # held by whoever checks a large document
        self._checked_within = checked_within
        self._pause = pause

    @contextmanager
    def reading(self, environ: Environ, max_depth: int = MAX_DEPTH) -> Iterator[bytes]:
        """The JSON document that the request carries, byte for byte; to be left when it has been written.

        Raises Refused: 411 without a Content-Length, 413, 415 when compressed, 400 when cut short or not JSON,
        503 when too many others are sending theirs, or large ones take all the room, or are checked for too long.
        """
        length = self._announced_length(environ)
        if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
            raise refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The body must be sent without Content-Encoding."
            )
        with ExitStack() as room:
            with self.places.wanted() as free:
                if not free:
                    raise _too_many("Too many bodies are being received.")
                room.enter_context(self._room_for(length))
                document = self._receive(environ, length)
                self._check(document, max_depth)
            yield document

    def read(self, environ: Environ, max_depth: int = MAX_DEPTH) -> bytes:
        """The same, for who does nothing more with it. Raises Refused."""
        with self.reading(environ, max_depth) as document:
            return document

    def _receive(self, environ: Environ, length: int) -> bytes:
        document = read_up_to(environ["wsgi.input"], length)
        if len(document) != length:
            raise bad_request(
                "incomplete-body", f"The body ended after {len(document)} bytes; Content-Length promised {length}."
            )
        return document

    @contextmanager
    def _room_for(self, length: int) -> Iterator[None]:
        """Small bodies need none: there are as many as threads at most."""
        amount = COPIES * length if length > LARGE else 0
        if not self._room.take(amount, self._patience):
            raise _too_many("Too many large bodies are being received or written.")
        try:
            yield
        finally:
            self._room.give_back(amount)

    def _announced_length(self, environ: Environ) -> int:
        announced = environ.get("CONTENT_LENGTH", "")
        if not announced:
            raise refused(HTTPStatus.LENGTH_REQUIRED, "length-required", "A body needs a Content-Length.")
        if not _LENGTH.fullmatch(announced):
            raise bad_request("invalid-length", "Content-Length must be a number of bytes.")
        length = int(announced)
        if length > self._max_bytes:
            raise refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"The document has {length} bytes; at most {self._max_bytes} are accepted.",
            )
        return length

    def _check(self, document: bytes, max_depth: int) -> None:
        if len(document) <= LARGE:
            check_document(document, max_depth)
            return
        if not self._checking.acquire(timeout=self._checked_within):
            raise _too_many("Too many large documents are being checked.")
        try:
            for _ in checking(document, max_depth):
                self._pause(PAUSE)
        finally:
            self._checking.release()


def _too_many(reason: str) -> Refused:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", reason, retry_after=1)


def read_up_to(stream: IO[bytes], length: int) -> bytes:
    """`length` bytes, or fewer when the stream ends before."""
    received = bytearray()
    while len(received) < length:
        piece = stream.read(length - len(received))
        if not piece:
            break
        received += piece
    return bytes(received)
