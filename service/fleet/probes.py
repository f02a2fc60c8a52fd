"""What load balancers and supervisors ask an instance. Neither question touches etcd or waits for anything."""

from __future__ import annotations

from http import HTTPStatus

from consistency.core.model import Status
from service.fleet.departed import missing, present
from service.http.answers import NO_STORE, Answer, answer_json


def health() -> Answer:
    """Return 200: the process is alive, and its loop turns. etcd's health is no reason to restart it."""
    return answer_json({"alive": True}, headers=(NO_STORE,))


def readiness(now: Status, draining: bool, expected: int = 0, *, routing: bool = False) -> Answer:
    """Return 200, or 503 with the reason.

    routing: the question is not whether this instance is well, but whether requests may be sent here if no instance is.
    Then etcd's absence is no reason: what was last known, an honest refusal and the page are answers, too.

    An instance without a slot is ready: it serves everything, uncached.

    Missing instances are no reason either: `warning` names them.
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
