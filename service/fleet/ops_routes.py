"""What operators, load balancers and Prometheus ask an instance, as Flask's routes. None of it touches etcd."""

from __future__ import annotations

import time
from http import HTTPStatus

from flask import Blueprint, request

from service.answering import Answering
from service.auth.keyring import report_of
from service.fleet.departed import departed
from service.fleet.members import fleet, targets
from service.http.answers import NO_STORE, Answer, answer_json
from service.http.environ import Environ
from service.http.responses import Response, Run, respond
from service.http.security_headers import SECURITY_HEADERS

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

    @routes.get("/metrics")
    def metrics() -> Response:
        body, content_type = answering.instruments.exposition()
        return respond(Answer(HTTPStatus.OK, (("Content-Type", content_type), NO_STORE, *SECURITY_HEADERS), body))

    @routes.get("/members")
    def members() -> Response:
        return respond(run(_members()))

    async def _members() -> Answer:
        now = answering.cache.status()
        expected = answering.settings.expected_instances
        told = {**fleet(now), "expected": expected, "departed": departed(now, time.time())}
        return answer_json(told, headers=(NO_STORE,))

    @routes.get("/members/targets")
    def members_targets() -> Response:
        return respond(run(_targets()))

    async def _targets() -> Answer:
        return answer_json(targets(answering.cache.status()), headers=(NO_STORE,))

    @routes.get(TOKENS)
    def tokens() -> Response:
        return respond(answer_json(report_of(answering.keyring), headers=(NO_STORE,)))

    return routes
