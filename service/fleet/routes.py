"""The whole fleet through one instance: how each member is, and what each answers to the read of a key.

For people who look, behind a balancer that picks the instance, and where the members' own addresses can't be reached.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, request

from consistency import DistributedCache
from consistency.core.model import Member, Status
from service.auth.access import MEMBERS
from service.documents.reads import answer_read
from service.fleet.departed import departed
from service.fleet.members import by_slot
from service.fleet.ops_routes import NO_STORE
from service.fleet.peers import PROOF, Heard, Peers
from service.fleet.proofs import Witness
from service.fleet.states import STATE, mine, not_served, served, theirs
from service.http.answers import Answer, answer_error, answer_json
from service.http.keys import key_from_path, path_of
from service.http.parameters import proof_parameters, recent_parameter
from service.http.responses import Response, respond

SHARED_FOR = 0.5
"""Seconds for which all who look are shown the same states: many open pages ask the fleet no more often than one."""


def fleet_routes(
    cache: DistributedCache, state: Callable[[bool], dict[str, Any]], expected: int, peers: Peers, witness: Witness
) -> Blueprint:
    """The routes. `state`: that of this instance, and, if True, its last minutes; must neither block nor do I/O.

    expected: instances, 0 = not said.
    """
    routes = Blueprint("fleet", __name__)
    now, recently = (
        Shared(partial(_states, cache.status, partial(state, recent), expected, peers, target))
        for recent, target in ((False, STATE), (True, f"{STATE}?recent=true"))
    )

    @routes.get(STATE)
    def me() -> Response:
        return respond(answer_json(state(_recent()), headers=(NO_STORE,)))

    @routes.get("/members/states")
    def all_states() -> Response:
        shared = recently if _recent() else now
        return respond(answer_json(shared.get(_authorization()), headers=(NO_STORE,)))

    @routes.get(PROOF)
    def proof() -> Response:
        ask = proof_parameters(request.environ.get("QUERY_STRING", ""))
        return respond(answer_json({"proof": witness.prove(ask)}, headers=(NO_STORE,)))

    @routes.get("/members/config/<rest:key>")
    def served_by_all(key: str) -> Response:
        del key  # decoded leniently
        path = request.environ["PATH_INFO"].removeprefix(MEMBERS)
        return respond(_served_by_all(cache, peers, path, _authorization()))

    return routes


class Shared:
    """The last states, for whoever asks within a moment; who comes while the fleet is asked waits for that answer."""

    def __init__(self, ask: Callable[[str], dict[str, Any]]) -> None:
        self._ask = ask
        self._asking = threading.Lock()  # protects the next two
        self._at = -SHARED_FOR
        self._last: dict[str, Any] = {}

    def get(self, authorization: str) -> dict[str, Any]:
        """The states, at most SHARED_FOR seconds old. Raises Refused (503)."""
        with self._asking:
            if time.monotonic() - self._at > SHARED_FOR:
                self._last = self._ask(authorization)
                self._at = time.monotonic()
            return self._last


def _states(
    status_now: Callable[[], Status],
    state: Callable[[], dict[str, Any]],
    expected: int,
    peers: Peers,
    target: str,
    authorization: str,
) -> dict[str, Any]:
    status = status_now()
    rows = [mine(status, state()), *map(theirs, peers.ask(_others(status), target, authorization))]
    gone = departed(status, time.time())
    return {"me": status.slot, "members": sorted(rows, key=_by_slot), "expected": expected, "departed": gone}


def _served_by_all(cache: DistributedCache, peers: Peers, path: str, authorization: str) -> Answer:
    status, key = cache.status(), key_from_path(path)
    started = time.perf_counter()
    own = _read(cache, path)
    seconds = time.perf_counter() - started
    headers = {name.lower(): value for name, value in own.headers}
    rows = [served(status.me, int(own.status), headers, own.body, seconds)]
    rows += map(_served, peers.ask(_others(status), path_of(key), authorization))
    return answer_json({"key": key, "me": status.slot, "members": sorted(rows, key=_by_slot)}, headers=(NO_STORE,))


def _read(cache: DistributedCache, path: str) -> Answer:
    """As a client's, without a session."""
    try:
        return answer_read(cache, {"PATH_INFO": path})
    except Exception as error:  # noqa: BLE001  # it is what a client would be told
        return answer_error(error)


def _served(heard: Heard) -> dict[str, Any]:
    if heard.why_not:
        return not_served(heard)
    return served(heard.member, heard.status, dict(heard.headers), heard.body, heard.seconds)


def _others(status: Status) -> list[Member]:
    return [member for member in status.present if member != status.me]


def _by_slot(row: dict[str, Any]) -> int:
    return by_slot(row["slot"])


def _recent() -> bool:
    return recent_parameter(request.environ.get("QUERY_STRING", ""))


def _authorization() -> str:
    return request.headers.get("Authorization", "")
