"""`/changes` as one of Flask's routes: an adapter. A waiting client takes a thread here; on the front, none."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from flask import Blueprint, request

from service.auth.access import CHANGES
from service.changes.changes import Changes, wants_stream
from service.changes.streams import EventStream
from service.http.responses import Response, Run, respond


def change_routes(changes: Changes, run: Run) -> Blueprint:
    """The routes. run: has something done on the loop of the cache, and returns the result."""
    routes = Blueprint("changes", __name__)

    @routes.get(CHANGES)
    def told() -> Response:
        if wants_stream(request.environ):
            stream = run(changes.stream(request.environ))
            response = Response(_taken(stream.pieces()), headers=list(stream.headers))
            response.call_on_close(lambda: run(_end(stream)))  # also when nothing of it has been asked for
            return response
        return respond(run(changes.answer(request.environ)))

    def _taken(pieces: AsyncGenerator[bytes]) -> Iterator[bytes]:
        while (piece := run(_next(pieces))) is not None:
            yield piece

    async def _next(pieces: AsyncGenerator[bytes]) -> bytes | None:
        return await anext(pieces, None)

    async def _end(stream: EventStream) -> None:
        stream.close()

    return routes
