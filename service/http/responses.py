"""Turns answers into Flask's responses."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

import flask

from service.http.answers import Answer

T = TypeVar("T")


class Run(Protocol):
    """Has something done on the loop that owns the instance. For threads that may wait."""

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`. Raises what it raises."""


class Response(flask.Response):
    """A response with the headers of its answer and no others: without a body it has no Content-Type either."""

    default_mimetype = None


def respond(answer: Answer) -> Response:
    """The response that `answer` describes."""
    return Response(answer.body, status=int(answer.status), headers=list(answer.headers))
