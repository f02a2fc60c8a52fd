"""`/history/<key>` as one of Flask's routes: an adapter, nothing else."""

from __future__ import annotations

from flask import Blueprint, request

from service.history.histories import Histories
from service.http.responses import Response, Run, respond


def history_routes(histories: Histories, run: Run) -> Blueprint:
    """The routes. run: has something done on the loop of the cache, and returns the result."""
    routes = Blueprint("history", __name__)

    # The key that Flask found is not used: it has been decoded leniently.
    @routes.get("/history/<rest:key>")
    def history(key: str) -> Response:
        del key
        return respond(run(histories.answer(request.environ)))

    return routes
