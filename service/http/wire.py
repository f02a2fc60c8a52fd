"""Answers as bytes: what a server sends. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from service.http.answers import Answer

Head = list[tuple[bytes, bytes]]
Wire = tuple[int, Head, bytes]
"""Status, headers, body."""

CLOSE = (b"connection", b"close")

_NO_LENGTH = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


def wire_of(answer: Answer) -> Wire:
    """Return an answer as it is sent."""
    return int(answer.status), head(headers_of(answer)), answer.body


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    """Return the headers with which an answer is sent: with the length of its body."""
    if answer.status in _NO_LENGTH:
        return list(answer.headers)
    return [*answer.headers, ("Content-Length", str(len(answer.body)))]


def head(headers: Iterable[tuple[str, str]]) -> Head:
    """Return headers as ASGI has them."""
    return [_encoded(pair) for pair in headers]


@lru_cache(maxsize=1024)  # most are among a few
def _encoded(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    return pair[0].lower().encode("latin-1"), pair[1].encode("latin-1")
