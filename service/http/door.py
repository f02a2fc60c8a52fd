"""The door: every request goes in here, and every answer leaves by it, whether the loop or Flask has made it.

In: framing and headers, the Host and where the request comes from, and, if there are tokens, the Authorization header,
in this order. It lets the request through or refuses it: 400 or 411, 403, 401 or 403. No cookie, no parameter and no
other header gives a right; without it the name in the client's certificate may (`service.tls`). Out: the answer is
counted, told in the log if it has to be, and given an id.

The log has a line for every write, whatever became of it, and for every answer of 5xx; none for reads that go well. An
answer bears an X-Request-Id, by which its request is found again, if it has a line, or if the client sent one. Never
logs a value, and nothing of a client's as it came: what is not printable is escaped, what is long is cut; and an id
that comes from outside is taken only if it is short and plain.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
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
from service.http.hosts import Authority, Hosts, parse
from service.http.problems import NOT_DONE, UNKNOWN, Refused, bad_request, kind_of, refused
from service.http.requests import (
    BEARER,
    LOGGER,
    REASON,
    ROOT,
    TRANSFER_ENCODING,
    Environ,
    legible,
    request_id,
    sent_id,
)
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
_WRITES = ("PUT", "POST", "DELETE")
_FAILED = int(HTTPStatus.INTERNAL_SERVER_ERROR)  # looked up, a noticeable part of a hit

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

REQUEST_ID = "X-Request-Id"

GONE = 499
"""What is counted when the client has gone before there was an answer, as nginx counts it."""


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
            raise _ambiguous_framing()
        text, host = environ.get("HTTP_HOST", ""), None
        if text:
            host = self._host_in(text)
        else:
            _check_absent_host(environ)
        if method not in SAFE:
            _check_write(environ, host)
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
        identity = _told_in_log(
            environ,
            status,
            seconds,
            failure=failure,
            revision=revision,
            keys=environ.get(KEYS, ()),
        )
        return ((REQUEST_ID, identity),) if identity else ()

    def _read_host(self, text: str) -> Authority:
        """The Host that a request names. Raises Refused: 400 if it is none, 403 if it is not one of `hosts`."""
        if "," in text:
            raise bad_request("two-hosts", "The request has more than one Host.")
        host = parse(text)
        if host is None:
            raise bad_request(
                "invalid-host", f"Host must be a name or an address, and perhaps a port, not {_shown(text)}."
            )
        if not self._hosts.admit(host.name):
            detail = (
                f"Nothing is answered under the name {_shown(host.name)}. The names that are belong into "
                "ALLOWED_HOSTS; without it, an instance that listens on a loopback address answers to localhost only."
            )
            raise refused(HTTPStatus.FORBIDDEN, "foreign-host", detail)
        return host

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


# What it may do, and what it is counted under


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


# Framing and origin; `Door` reads the Host

_SAME = ("same-origin", "none")
"""Sec-Fetch-Site of what a page of ours asks for, or a person. Not same-site: another port of localhost is that."""

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LONGEST_SHOWN = 60


def _ambiguous_framing() -> Refused:
    """Return a refusal (411): a proxy in front might see another end of the request than this server (smuggling)."""
    return refused(
        HTTPStatus.LENGTH_REQUIRED, "length-required", "Send a Content-Length instead of a Transfer-Encoding."
    )


def _check_absent_host(environ: Environ) -> None:
    """Raises Refused (400) unless the client may leave Host out, as those of HTTP/1.0 may: health checks do."""
    if environ.get("SERVER_PROTOCOL", "HTTP/1.1") not in ("HTTP/1.0", "HTTP/1"):
        raise bad_request("invalid-host", "The request has no Host, or one that can't be read.")


def _check_write(environ: Environ, host: Authority | None) -> None:
    """Check the head of a request whose method is not safe. Raises Refused (400, 403)."""
    if "HTTP_CONTENT_RANGE" in environ:
        detail = "The body is taken for the whole document, so there must be no Content-Range (RFC 9110, 14.5)."
        raise bad_request("content-range", detail)
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None and site not in _SAME:
        raise _cross_origin(f"The header Sec-Fetch-Site is {_shown(site)}")
    if origin is not None and not _is_origin_of(host, origin):
        asked = "there is no Host" if host is None else f"the Host is {_shown(environ['HTTP_HOST'])}"
        raise _cross_origin(f"The header Origin is {_shown(origin)}, and {asked}")


def _is_origin_of(host: Authority | None, origin: str) -> bool:
    """Whether a page of this origin was served by the host. By which scheme plays no part: TLS may end at a proxy."""
    scheme, separator, rest = origin.partition("://")
    default, page = _DEFAULT_PORTS.get(scheme), parse(rest)
    if host is None or page is None or default is None or not separator:
        return False
    return (page.name, page.port or default) == (host.name, host.port or default)


def _cross_origin(found: str) -> Exception:
    detail = (
        f"{found}: the page of another site may not write here. "
        "(If it was a page of this service, a proxy in between changes Host; it has to be passed on as it came.)"
    )
    return refused(HTTPStatus.FORBIDDEN, "cross-origin", detail)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


# The line in the log

MOST_KEYS = 10
"""Keys of a batch that are named."""

_WRITTEN = ("/config", "/policy", "/rollback")
_DONE_BELOW = 300

_log = logging.getLogger(LOGGER)


def _told_in_log(
    environ: Environ,
    status: int,
    seconds: float,
    *,
    failure: Exception | None = None,
    revision: str | bytes = "",
    keys: Sequence[str] = (),
) -> str:
    """Logs an answer that is about to be sent, if it has to be; its X-Request-Id, or "" if it bears none.

    seconds: that it took. failure: what the request ended with. revision: its X-Config-Revision. keys: of a batch.
    """
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    write = method in _WRITES and path.startswith(_WRITTEN)
    if not write and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return sent_id(environ)
    identity, level = request_id(environ), _level(status)
    if _log.isEnabledFor(level):
        line: dict[str, object] = {"event": "write" if write else "failed", "method": method}
        line |= _where(path)
        if keys:
            line |= {"operations": len(keys), "keys": [legible(key) for key in keys[:MOST_KEYS]]}
        line["status"] = status
        if write:
            line["outcome"] = _outcome(status, failure)
        if revision:
            line["revision"] = int(revision)
        if name := environ.get(BEARER):
            line["bearer"] = name
        if why := environ.get(REASON):
            line["why"] = legible(why)
        line |= {"ms": round(seconds * 1000, 2), "request_id": identity, **_problem(status, failure)}
        # Not by `Logger.log`, which looks up the stack for who calls it: a part of what a write takes.
        _log.handle(logging.LogRecord(LOGGER, level, "", 0, line, None, None))
    return identity


def _where(path: str) -> dict[str, object]:
    """The key, if it is about one; as WSGI has it, it is a character a byte, of what is mostly UTF-8."""
    text = path if path.isascii() else path.encode("latin-1", "backslashreplace").decode("utf-8", "backslashreplace")
    about_one = text.startswith(ROOT) and text != ROOT
    return {"key": legible(text.removeprefix(ROOT))} if about_one else {"path": legible(text)}


def _level(status: int) -> int:
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.INFO
    return logging.ERROR if status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING


def _outcome(status: int, failure: Exception | None) -> str:
    """Did it happen? As the answer says it; whoever has gone was told nothing."""
    if status < _DONE_BELOW:
        return "done"
    if status == GONE:
        return UNKNOWN
    unknown = failure is not None and not isinstance(failure, Refused) and kind_of(failure).outcome == UNKNOWN
    return UNKNOWN if unknown else NOT_DONE


def _problem(status: int, failure: Exception | None) -> dict[str, object]:
    """Which problem it was; and, if etcd or the service is to blame, in which words."""
    if failure is None:
        return {}
    kind = failure.problem.kind if isinstance(failure, Refused) else kind_of(failure)
    detail = {"detail": legible(str(failure))} if status >= HTTPStatus.INTERNAL_SERVER_ERROR else {}
    return {"problem": kind.slug, **detail}
