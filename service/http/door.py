"""The door, in front of every way in: Flask's routes and the short way to a document alike.

It looks at each request in one order: framing and headers, the Host and where the request comes from, and, if there
are tokens, the Authorization header. It lets it through or answers: 400 or 411, 403, 401 or 403. No cookie, no
parameter and no other header gives a right.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache

from metrics import Instruments
from service.auth.access import COLLECTION, MEMBERS, OBSERVED, OPEN, check, names_document, needed
from service.auth.keyring import Keyring
from service.documents.reads import Environ
from service.http.answers import answer_problem
from service.http.hit_path import ROUTE, STATUS_LINES, UNKNOWN_ROUTE, StartResponse, WsgiApplication, to_wire
from service.http.hosts import Authority, Hosts
from service.http.problems import Refused
from service.http.request_heads import SAFE, check_absent_host, check_framing, check_write, host_in
from service.http.request_ids import HEADER as REQUEST_ID
from service.http.request_log import BEARER, finish

_PREFIX = "config_service.prefix"
"""In a request's environment: with what the keys start that it may be about. No header can be named so."""

_HOSTS_KEPT = 256
"""Host headers that are known to be good. There are few; whoever sends others pays for having them read."""


class Door:
    """WSGI middleware: `app.wsgi_app = Door(app.wsgi_app, hosts, keyring, instruments)`. No keyring: no tokens."""

    def __init__(self, rest: WsgiApplication, hosts: Hosts, keyring: Keyring | None, instruments: Instruments) -> None:
        self._rest = rest
        self._hosts = hosts
        self._keyring = keyring
        self._instruments = instruments
        self._host_in = lru_cache(_HOSTS_KEPT)(self._read_host)  # of every request; what is refused isn't kept

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Lets it through, or answers."""
        started = time.perf_counter()
        try:
            self._admit(environ)
        except Refused as refused:
            return self._refuse(refused, environ, started, start_response)
        return self._rest(environ, start_response)

    def _admit(self, environ: Environ) -> None:
        """Raises Refused."""
        method = environ["REQUEST_METHOD"]
        check_framing(environ)
        text, host = environ.get("HTTP_HOST", ""), None
        if text:
            host = self._host_in(text)
        else:
            check_absent_host(environ)
        if method not in SAFE:
            check_write(environ, host)
        if self._keyring is not None:
            self._check_token(self._keyring, environ, method)

    def _read_host(self, text: str) -> Authority:
        return host_in(text, self._hosts)

    def _check_token(self, keyring: Keyring, environ: Environ, method: str) -> None:
        path = environ["PATH_INFO"]
        scope = needed(method, path)
        if scope is None:
            return
        header = environ.get("HTTP_AUTHORIZATION", "")
        token = keyring.bearers.find(header) if header else None
        if token is not None:
            environ[BEARER] = token.name
        environ[_PREFIX] = check(scope, token, path, header)

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
    """The same, where there are no tokens."""
    return ""


def _route(path: str) -> str:
    """What a refusal is counted under: what it would have been counted under."""
    if path in COLLECTION or path in OBSERVED or path in OPEN:
        return path or "/"
    if names_document(path.removeprefix(MEMBERS)):
        return MEMBERS + ROUTE if path.startswith(MEMBERS) else ROUTE
    return UNKNOWN_ROUTE
