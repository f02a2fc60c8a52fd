"""Turns answers into Flask's responses."""

from __future__ import annotations

import flask

from service.http.answers import Answer


class Response(flask.Response):
    """A response with the headers of its answer and no others: without a body it has no Content-Type either."""

    default_mimetype = None


def respond(answer: Answer) -> Response:
    """The response that `answer` describes."""
    return Response(answer.body, status=int(answer.status), headers=list(answer.headers))
