"""The door: every request goes in here, and every answer leaves by it, whether the loop or Flask has made it.

In: framing and headers, the Host and where the request comes from, and, if there are tokens, the Authorization header,
in this order. It lets the request through or refuses it: 400 or 411, 403, 401 or 403. No cookie, no parameter and no
other header gives a right; without it the name in the client's certificate may (`service.tls`). Out: the answer is
counted, told in the log if it has to be, and given an id.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from metrics import Instruments
from service.auth.access import (
    COLLECTION,
    HISTORY,
    MEMBERS,
    OBSERVED,
    OPEN,
    POLICY,
    ROLLBACK,
    check,
    names_document,
    needed,
)
from service.auth.keyring import Keyring
from service.auth.tokens import Scope, Token
from service.http.hosts import Authority, Hosts
from service.http.problems import refused
from service.http.request_heads import (
    SAFE,
    TRANSFER_ENCODING,
    Environ,
    ambiguous_framing,
    check_absent_host,
    check_write,
    host_in,
)
from service.http.request_log import BEARER, REQUEST_ID, finish
from service.tls.client_certificates import SHOWN, ClientCertificate

DOCUMENT = "/config/<key>"
"""What requests about one document are counted under."""

HISTORY_OF_KEY = HISTORY + "<key>"
"""What requests for the history of one are counted under."""

UNKNOWN_ROUTE = "unknown"
"""What is counted of those that no route is for."""

# In a request's environment; no header can be named so.
ROUTE = "config_service.route"
"""What the request is counted under: set by whoever answers it."""
FAILURE = "config_service.failure"
"""The exception that it ended with."""
KEYS = "config_service.keys"
"""The keys of a batch."""
WAITED = "config_service.waited"
"""Seconds of it in which there was nothing to do, since the client waits for something to happen."""
_PREFIX = "config_service.prefix"
"""With what the keys start that it may be about."""

_TOKEN = "config_service.token"
"""The token that it bears: its name, its scopes and its hash."""

_OF_RIGHTS = ("REQUEST_METHOD", "PATH_INFO", "HTTP_AUTHORIZATION", SHOWN, BEARER, _PREFIX)

_HOSTS_KEPT = 256
"""Host headers that are known to be good. There are few; whoever sends others pays for having them read."""

_REVISION = ("X-Config-Revision", b"x-config-revision")  # as Flask has it, and as ASGI does
_FOREIGN = "This port is for the connections of this instance's own clients, which it makes itself."
_READS = ("GET", "HEAD")
_FAILED = int(HTTPStatus.INTERNAL_SERVER_ERROR)  # looked up, a noticeable part of a hit


class Door:
    """One for an instance. No keyring: no tokens. Safe for use from many threads."""

    def __init__(self, hosts: Hosts, keyring: Keyring | None, instruments: Instruments) -> None:
        self._hosts = hosts
        self._keyring = keyring
        self._instruments = instruments
        self._host_in = lru_cache(_HOSTS_KEPT)(self._read_host)  # of every request; what is refused isn't kept

    def admit(self, environ: Environ) -> None:
        """Let a request through. Raises Refused."""
        method = environ["REQUEST_METHOD"]
        if SHOWN in environ and environ[SHOWN] is None:
            raise refused(HTTPStatus.FORBIDDEN, "foreign-connection", _FOREIGN)
        if TRANSFER_ENCODING in environ:
            raise ambiguous_framing()
        text, host = environ.get("HTTP_HOST", ""), None
        if text:
            host = self._host_in(text)
        else:
            check_absent_host(environ)
        if method not in SAFE:
            check_write(environ, host)
        if self._keyring is not None:
            self._check_token(self._keyring, environ, method)

    def admit_again(self, environ: Environ) -> None:
        """Look once more at the rights of a request that was let in before. Raises Refused if it has others now."""
        if self._keyring is not None:
            before = environ[_PREFIX]
            self._check_token(self._keyring, environ, environ["REQUEST_METHOD"])
            if environ[_PREFIX] != before:
                raise refused(HTTPStatus.FORBIDDEN, "insufficient-scope", "This token is for other keys now.")

    def keep_rights(self, environ: Environ) -> None:
        """Forget of a request what `admit_again` does not ask for: there are thousands that last for minutes."""
        kept = {} if self._keyring is None else {name: environ[name] for name in _OF_RIGHTS if name in environ}
        environ.clear()
        environ |= kept

    def leave(
        self, environ: Environ, status: int, headers: Iterable[tuple[str, str] | tuple[bytes, bytes]], started: float
    ) -> tuple[tuple[str, str], ...]:
        """Count and log an answer that is about to be sent; return the headers that it gets besides its own.

        headers: the answer's own. started: when the request came, of `time.perf_counter`.
        """
        method = environ["REQUEST_METHOD"]
        seconds = time.perf_counter() - started - environ.get(WAITED, 0.0)
        # Taken out: its traceback holds the environment, so that neither would go, nor the token in it.
        failure = environ.pop(FAILURE, None)
        self._instruments.http(method, environ.get(ROUTE) or _route(environ["PATH_INFO"]), status, seconds)
        # Most reads are spared the rest: they have no line in the log, and bear an id only if the client sent one.
        if method in _READS and status < _FAILED and "HTTP_X_REQUEST_ID" not in environ:
            return ()
        revision = next((value for name, value in headers if name in _REVISION), "")
        identity = finish(
            environ,
            status,
            seconds,
            failure=failure,
            revision=revision,
            keys=environ.get(KEYS, ()),
        )
        return ((REQUEST_ID, identity),) if identity else ()

    def _read_host(self, text: str) -> Authority:
        return host_in(text, self._hosts)

    def _check_token(self, keyring: Keyring, environ: Environ, method: str) -> None:
        path = environ["PATH_INFO"]
        scope = needed(method, path)
        if scope is None:
            return
        header = environ.get("HTTP_AUTHORIZATION", "")
        token = keyring.bearers.find(header) if header else _certified(keyring, environ)
        if token is not None:
            environ[BEARER] = token.name
        environ[_PREFIX] = check(scope, token, path, header)
        environ[_TOKEN] = token


def _certified(keyring: Keyring, environ: Environ) -> Token | None:
    """For whom the client's certificate stands, if it has sent no Authorization at all, and it has not ended since."""
    shown: ClientCertificate | None = environ.get(SHOWN)
    if shown is None or "HTTP_AUTHORIZATION" in environ or shown.expires <= time.time():
        return None
    return keyring.bearers.certified(shown.names)


def keys_granted(environ: Environ) -> str:
    """With what the keys start that a request may be about which has come through the door. Raises KeyError."""
    return str(environ[_PREFIX])


def granted(environ: Environ, scope: Scope) -> bool:
    """Whether a request that has come through the door may do what needs this scope. Raises KeyError."""
    return bool(environ[_TOKEN].may(scope))


def everything(_: Environ, _scope: Scope) -> bool:
    """The same, where there are no tokens."""
    return True


def all_keys(_: Environ) -> str:
    """The same, where there are no tokens."""
    return ""


def _route(path: str) -> str:
    """What a refusal is counted under: what it would have been counted under."""
    if path in COLLECTION or path in OBSERVED or path in OPEN or path in (POLICY, ROLLBACK):
        return path or "/"
    if names_document(path.removeprefix(MEMBERS)):
        return MEMBERS + DOCUMENT if path.startswith(MEMBERS) else DOCUMENT
    return HISTORY_OF_KEY if path.startswith(HISTORY) and path != HISTORY else UNKNOWN_ROUTE
