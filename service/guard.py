"""The door, in front of every way in: Flask's routes and the short way to a document alike.

It looks at the Authorization header of each request that needs a token, and lets it through or answers 401 or 403. No
cookie, no parameter and no other header gives a right. It is there only if there are tokens; without any, nothing is
asked of a request.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from metrics import Instruments
from service.access import COLLECTION, OBSERVED, check, names_document, needed
from service.answers import answer_problem
from service.document_reads import Environ
from service.hit_path import ROUTE, STATUS_LINES, UNKNOWN_ROUTE, StartResponse, WsgiApplication, to_wire
from service.keyring import Keyring
from service.problems import Refused
from service.request_ids import HEADER as REQUEST_ID
from service.request_log import BEARER, finish

_PREFIX = "config_service.prefix"
"""In a request's environment: with what the keys start that it may be about. No header can be named so."""


class Guard:
    """WSGI middleware: `app.wsgi_app = Guard(app.wsgi_app, keyring, instruments)`."""

    def __init__(self, rest: WsgiApplication, keyring: Keyring, instruments: Instruments) -> None:
        self._rest = rest
        self._keyring = keyring
        self._instruments = instruments

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Lets it through, or answers."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        scope = needed(method, path)
        if scope is not None:
            started = time.perf_counter()
            header = environ.get("HTTP_AUTHORIZATION", "")
            token = self._keyring.bearers.find(header) if header else None
            if token is not None:
                environ[BEARER] = token.name
            try:
                environ[_PREFIX] = check(scope, token, path, header)
            except Refused as refused:
                return self._refuse(refused, environ, started, start_response)
        return self._rest(environ, start_response)

    def _refuse(
        self, refused: Refused, environ: Environ, started: float, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answered, counted and, if it was a write, told in the log, as by the routes that it does not get to."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        status, headers, body = to_wire(answer_problem(refused.problem))
        seconds = time.perf_counter() - started
        self._instruments.http(method, _route(path), status, seconds)
        if identity := finish(environ, status, seconds, failure=refused):
            headers.append((REQUEST_ID, identity))
        start_response(STATUS_LINES[status], headers)
        return [] if method == "HEAD" else [body]


def keys_granted(environ: Environ) -> str:
    """With what the keys start that a request may be about which has come through the door. Raises KeyError."""
    return str(environ[_PREFIX])


def all_keys(_: Environ) -> str:
    """The same, where there is no door."""
    return ""


def _route(path: str) -> str:
    """What a refusal is counted under: what it would have been counted under."""
    if path in COLLECTION or path in OBSERVED:
        return path
    return ROUTE if names_document(path) else UNKNOWN_ROUTE
