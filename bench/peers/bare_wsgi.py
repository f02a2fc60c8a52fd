"""The least that a WSGI application can do: one answer, made beforehand. The rest is what Granian and wrk cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bench.documents import HEADERS, document

_BODY = document(0)
_HEADERS = [*HEADERS, ("Content-Length", str(len(_BODY)))]


_ONE_HEADER = [("Content-Type", "application/json")]


def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Whatever is asked for."""
    start_response("200 OK", _HEADERS)
    return [_BODY]


def with_one_header(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The same body, and nothing said of it: what the headers of a hit cost is the difference."""
    start_response("200 OK", _ONE_HEADER)
    return [_BODY]
