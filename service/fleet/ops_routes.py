"""What operators, load balancers and Prometheus ask an instance, as Flask's routes. None of it touches etcd."""

from __future__ import annotations

from flask import Blueprint, request

from service.answering import Answering
from service.auth.access import MEMBERS, METRICS, TARGETS
from service.auth.keyring import report_of
from service.http.answers import NO_STORE, Answer, answer_json
from service.http.requests import Environ
from service.http.responses import Response, Run, respond

TOKENS = "/members/tokens"
"""Which tokens this instance knows, by name. As any path that is not listed in `service.auth.access`: for admin."""


def ops_routes(answering: Answering, run: Run) -> Blueprint:
    """The routes. run: has something done on the instance's loop, and returns the result."""
    routes = Blueprint("ops", __name__)

    @routes.get("/healthz")
    @routes.get("/readyz")
    def probe() -> Response:
        return respond(run(_probed(request.environ)))

    async def _probed(environ: Environ) -> Answer:
        return answering.probes[environ["PATH_INFO"]](environ)

    @routes.get(METRICS)
    def metrics() -> Response:
        return respond(answering.metrics())

    @routes.get(MEMBERS)
    def members() -> Response:
        return respond(run(answering.questions[MEMBERS](request.environ)))

    @routes.get(TARGETS)
    def members_targets() -> Response:
        return respond(run(answering.questions[TARGETS](request.environ)))

    @routes.get(TOKENS)
    def tokens() -> Response:
        return respond(answer_json(report_of(answering.keyring), headers=(NO_STORE,)))

    return routes
