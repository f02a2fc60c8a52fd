"""What operators, load balancers and Prometheus ask an instance. None of it touches etcd or waits for anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, request

from consistency.core.model import Status
from metrics import Instruments
from service.fleet.departed import departed, missing, present
from service.fleet.members import fleet, targets
from service.http.answers import NO_STORE, Answer, answer_json
from service.http.parameters import routing_parameter
from service.http.responses import Response, respond
from service.http.security_headers import SECURITY_HEADERS


def ops_routes(
    status: Callable[[], Status], draining: Callable[[], bool], instruments: Instruments, expected: int
) -> Blueprint:
    """The routes. `status` and `draining` must neither block nor do I/O. expected: instances, 0 = not said."""
    routes = Blueprint("ops", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        """The process is alive and has a thread to spare. etcd's health is no reason to restart it."""
        return respond(answer_json({"alive": True}, headers=(NO_STORE,)))

    @routes.get("/readyz")
    def readyz() -> Response:
        routing = routing_parameter(request.environ["QUERY_STRING"])
        return respond(readiness(status(), draining(), expected, routing=routing))

    @routes.get("/metrics")
    def metrics() -> Response:
        body, content_type = instruments.exposition()
        return respond(Answer(HTTPStatus.OK, (("Content-Type", content_type), NO_STORE, *SECURITY_HEADERS), body))

    @routes.get("/members")
    def members() -> Response:
        now = status()
        told = {**fleet(now), "expected": expected, "departed": departed(now, time.time())}
        return respond(answer_json(told, headers=(NO_STORE,)))

    @routes.get("/members/targets")
    def members_targets() -> Response:
        return respond(answer_json(targets(status()), headers=(NO_STORE,)))

    return routes


def readiness(now: Status, draining: bool, expected: int = 0, *, routing: bool = False) -> Answer:
    """200, or 503 with the reason.

    routing: the question is not whether this instance is well, but whether requests may be sent here if no instance is.
    Then etcd's absence is no reason: what was last known, an honest refusal and the page are answers, too.

    Not being a member is no reason: such an instance serves everything, uncached.

    Nor is it one that others are missing: `warning` says so.
    """
    why_not = "shutting down: no new requests, please" if draining else now.why_not_ready
    unroutable = draining or bool(now.why_not_routed)
    document = {
        "ready": not why_not,
        "why_not": why_not,
        "routed": not unroutable,
        "draining": draining,
        "member": now.slot is not None,
        "slot": now.slot,
        "fresh": now.fresh,
        "proof_age": None if now.proof_age is None else round(now.proof_age, 3),
        "watch_up": now.watch_up,
        "horizon": now.horizon,
        "instances": present(now),
        "expected": expected,
        "warning": missing(now, expected),
    }
    if unroutable if routing else why_not:
        return answer_json(document, HTTPStatus.SERVICE_UNAVAILABLE, (NO_STORE, ("Retry-After", "1")))
    return answer_json(document, headers=(NO_STORE,))
