"""`/history/<key>` and `/rollback` as Flask's routes: adapters, nothing else."""

from __future__ import annotations

from flask import Blueprint, request

from service.auth.access import ROLLBACK
from service.history.histories import Histories
from service.history.rollbacks import Rollbacks
from service.http.requests import whole_body
from service.http.responses import Response, Run, respond


def history_routes(histories: Histories, rollbacks: Rollbacks, run: Run) -> Blueprint:
    """The routes. run: has something done on the loop of the cache, and returns the result."""
    routes = Blueprint("history", __name__)

    # The key that Flask found is not used: it has been decoded leniently.
    @routes.get("/history/<rest:key>")
    def history(key: str) -> Response:
        del key
        return respond(run(histories.answer(request.environ)))

    @routes.post(ROLLBACK)
    def rollback() -> Response:
        body = whole_body(request.environ, rollbacks.expected_body(request.environ))
        return respond(run(rollbacks.answer(request.environ, body)))

    return routes
