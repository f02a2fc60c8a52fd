"""Receives the body of a write, whole or not at all.

Owns the places for readers: at most half of the threads may receive bodies, so that clients that send theirs drop by
drop can't keep the others from being answered. Most bodies are there at once and take a place for a moment only: a
quarter of the threads may wait for one, briefly, and the last quarter is always free of bodies.

Servers pass a body that was cut short as if it were whole; counting is done here.
"""

from __future__ import annotations

import re
import threading
from http import HTTPStatus
from typing import IO, Any

from service.documents import MAX_DEPTH, check_document
from service.problems import bad_request, refused

Environ = dict[str, Any]

_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

PATIENCE = 0.1
"""Seconds to wait for a place."""


class BodyReader:
    """Reads documents from requests. Safe for use from many threads."""

    def __init__(self, *, max_bytes: int, threads: int, patience: float = PATIENCE) -> None:
        """`max_bytes`: of one body. `threads`: that work on requests. `patience`: seconds to wait for a place."""
        self._max_bytes = max_bytes
        self._places = threading.BoundedSemaphore(max(1, threads // 2))
        self._queue = threading.BoundedSemaphore(threads // 4)
        self._patience = patience

    def read(self, environ: Environ, max_depth: int = MAX_DEPTH) -> bytes:
        """The JSON document that the request carries, byte for byte.

        Raises Refused: 411 without a Content-Length, 413, 415 when compressed, 400 when cut short or not JSON,
        503 when too many others are sending theirs.
        """
        length = self._announced_length(environ)
        if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
            raise refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The body must be sent without Content-Encoding."
            )
        document = self._receive(environ["wsgi.input"], length)
        if len(document) != length:
            raise bad_request(
                "incomplete-body", f"The body ended after {len(document)} bytes; Content-Length promised {length}."
            )
        check_document(document, max_depth)
        return document

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

    def _receive(self, stream: IO[bytes], length: int) -> bytes:
        if not self._take_place():
            raise refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", "Too many bodies are being received.", retry_after=1
            )
        try:
            return read_up_to(stream, length)
        finally:
            self._places.release()

    def _take_place(self) -> bool:
        if self._places.acquire(blocking=False):
            return True
        if not self._queue.acquire(blocking=False):
            return False
        try:
            return self._places.acquire(timeout=self._patience)
        finally:
            self._queue.release()


def read_up_to(stream: IO[bytes], length: int) -> bytes:
    """`length` bytes, or fewer when the stream ends before."""
    received = bytearray()
    while len(received) < length:
        piece = stream.read(length - len(received))
        if not piece:
            break
        received += piece
    return bytes(received)


def framing_is_ambiguous(environ: Environ) -> bool:
    """Whether a proxy in front and this server might read the request differently (request smuggling)."""
    return "HTTP_TRANSFER_ENCODING" in environ or "," in environ.get("HTTP_HOST", "")


def refuse_ambiguous_framing(environ: Environ) -> None:
    """Raises Refused. Any Transfer-Encoding: 411. Two Host headers, which arrive joined by a comma: 400."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise refused(
            HTTPStatus.LENGTH_REQUIRED, "length-required", "Send a Content-Length instead of a Transfer-Encoding."
        )
    if "," in environ.get("HTTP_HOST", ""):
        raise bad_request("two-hosts", "The request has more than one Host.")
