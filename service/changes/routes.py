"""`/changes` as one of Flask's routes: an adapter. Whoever waits takes a thread here, and none on the loop's front."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

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
            return Response(_pieces(stream), headers=list(stream.headers))
        return respond(run(changes.answer(request.environ)))

    def _pieces(stream: EventStream) -> Iterator[bytes]:
        pieces = stream.pieces()
        try:
            while (piece := run(_next(pieces))) is not None:
                yield piece
        finally:
            run(_end(stream))

    async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
        return await anext(pieces, None)

    async def _end(stream: EventStream) -> None:
        stream.close()

    return routes
