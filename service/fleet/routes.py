"""Flask's routes to the whole fleet (`service.fleet.whole_fleet`), and to the proof of this instance's address."""

from __future__ import annotations

from flask import Blueprint, request

from service.fleet.proofs import PROOF, Witness
from service.fleet.states import STATE
from service.fleet.whole_fleet import WholeFleet
from service.http.answers import NO_STORE, answer_json
from service.http.parameters import proof_parameters
from service.http.responses import Response, Run, respond


def fleet_routes(fleet: WholeFleet, witness: Witness, run: Run) -> Blueprint:
    """The routes. run: has something done on the instance's loop, and returns the result."""
    routes = Blueprint("fleet", __name__)

    @routes.get(STATE)
    def me() -> Response:
        return respond(run(fleet.own_state(request.environ)))

    @routes.get("/members/states")
    def all_states() -> Response:
        return respond(run(fleet.states(request.environ)))

    @routes.get(PROOF)
    def proof() -> Response:
        ask = proof_parameters(request.environ.get("QUERY_STRING", ""))
        return respond(answer_json({"proof": witness.prove(ask)}, headers=(NO_STORE,)))

    @routes.get("/members/config/<rest:key>")
    def served_by_all(key: str) -> Response:
        del key  # decoded leniently
        return respond(run(fleet.served_by_all(request.environ)))

    return routes
