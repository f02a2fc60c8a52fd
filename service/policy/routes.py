"""`/policy` as Flask's routes. Adapters, nothing else."""

from __future__ import annotations

from flask import Blueprint, request

from service.http.requests import whole_body
from service.http.responses import Response, Run, respond
from service.policy.policies import Policies


def policy_routes(policies: Policies, run: Run) -> Blueprint:
    """The routes. run: has something done on the loop of the policies' cache, and returns the result."""
    routes = Blueprint("policy", __name__)

    @routes.get("/policy")
    def read() -> Response:
        return respond(run(policies.get(request.environ)))

    @routes.put("/policy")
    def put() -> Response:
        body = whole_body(request.environ, policies.expected_body(request.environ))
        return respond(run(policies.put(request.environ, body)))

    return routes
