"""Flask's routes to the whole fleet (`service.fleet.whole_fleet`), and to the proof of this instance's address."""

from __future__ import annotations

from flask import Blueprint, request

from service.answering import Answering
from service.fleet.proofs import PROOF
from service.fleet.states import STATE
from service.http.responses import Response, Run, respond


def fleet_routes(answering: Answering, run: Run) -> Blueprint:
    """The routes. run: has something done on the instance's loop, and returns the result."""
    routes = Blueprint("fleet", __name__)
    fleet = answering.fleet

    @routes.get(STATE)
    def me() -> Response:
        return respond(run(fleet.own_state(request.environ)))

    @routes.get("/members/states")
    def all_states() -> Response:
        return respond(run(fleet.states(request.environ)))

    @routes.get(PROOF)
    def proof() -> Response:
        return respond(run(answering.questions[PROOF](request.environ)))

    @routes.get("/members/config/<rest:key>")
    def served_by_all(key: str) -> Response:
        del key  # decoded leniently
        return respond(run(fleet.served_by_all(request.environ)))

    return routes
