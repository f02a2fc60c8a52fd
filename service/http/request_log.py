"""What is told of a request: its line in the log; and of a change: who makes it, in which request, and why.

A line for every write, whatever became of it, and for every answer of 5xx; none for reads that go well. An answer bears
an X-Request-Id, by which its request is found again, if it has a line, or if the client sent one. Never logs a value,
and nothing of a client's as it came: what is not printable is escaped, what is long is cut; and an id that comes from
outside is taken only if it is short and plain.

X-Change-Reason says why a write is made, in the words of whoever makes it. A header is ASCII, so a reason is written as
keys are in paths: percent-encoded UTF-8, in which `%25` is a percent sign. Nothing is guessed: what was sent and can't
be read is refused, never taken for absent.

    X-Change-Reason: twice the load since Monday
    X-Change-Reason: mehr als 80 %25 im M%C3%A4rz
"""

from __future__ import annotations

import logging
import re
import secrets
import unicodedata
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from consistency.core.authors import LONGEST_REASON, Author
from service.http.keys import ROOT, check_escapes
from service.http.problems import NOT_DONE, UNKNOWN, Refused, bad_request, kind_of
from service.http.request_heads import Environ

LOGGER = "config.requests"
REQUEST_ID = "X-Request-Id"
LONGEST_KEY = 512
MOST_KEYS = 10
"""Keys of a batch that are named."""

BEARER = "config_service.bearer"
"""In a request's environment: the name of the token that it bears, if there are tokens. No header can be named so."""

_REASON = "config_service.reason"
"""Why it is made, if it says so and that could be read."""

_IDENTITY = "config_service.request_id"
"""The id that it got when somebody asked first."""

GONE = 499
"""What is counted when the client has gone before there was an answer, as nginx counts it."""

_WRITES = ("PUT", "POST", "DELETE")
_WRITTEN = ("/config", "/policy", "/rollback")
_DONE_BELOW = 300
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)

_REASON_HEADER = "X-Change-Reason"
_REASON_SENT = "HTTP_X_CHANGE_REASON"
_PRINTABLE = re.compile(r"[ -~]+", re.ASCII)
_NO_PART_OF_A_LINE = ("Cc", "Zl", "Zp")
"""Unicode's categories of what would break a line, or can't be seen and does something."""

_log = logging.getLogger(LOGGER)


def finish(
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
        return sent(environ)
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
        if why := environ.get(_REASON):
            line["why"] = legible(why)
        line |= {"ms": round(seconds * 1000, 2), "request_id": identity, **_problem(status, failure)}
        # Not by `Logger.log`, which looks up the stack for who calls it: a part of what a write takes.
        _log.handle(logging.LogRecord(LOGGER, level, "", 0, line, None, None))
    return identity


def sent(environ: Environ) -> str:
    """What the client sent as X-Request-Id; "" if nothing that can be taken."""
    return _plain(environ.get("HTTP_X_REQUEST_ID", ""))


def request_id(environ: Environ) -> str:
    """X-Request-Id, else X-Vcap-Request-Id (Cloud Foundry's router), else 16 random hexadecimal digits, once drawn."""
    if (known := environ.get(_IDENTITY)) is None:
        known = sent(environ) or _plain(environ.get("HTTP_X_VCAP_REQUEST_ID", "")) or secrets.token_hex(8)
        environ[_IDENTITY] = known
    return str(known)


def reason_in(environ: Environ) -> str:
    """The reason that a request gives; "" if it gives none. Raises Refused (400)."""
    if _REASON_SENT not in environ:
        return ""
    text = str(environ[_REASON_SENT]).strip(" \t")
    if not _PRINTABLE.fullmatch(text):
        raise _refused_reason("is empty, or not printable ASCII; write anything else as percent-encoded UTF-8")
    check_escapes(text, f"header {_REASON_HEADER}")
    try:
        reason = unquote_to_bytes(text).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _refused_reason("is not UTF-8 once it is percent-decoded") from None
    if len(reason) > LONGEST_REASON:
        raise _refused_reason(f"has {len(reason)} characters; at most {LONGEST_REASON} are allowed")
    if any(unicodedata.category(character) in _NO_PART_OF_A_LINE for character in reason):
        raise _refused_reason("has a control character or a line end in it")
    return reason


def author_of(environ: Environ) -> Author:
    """Return who makes this request, and why: its token's name, its id, its reason. Raises Refused (400)."""
    if why := reason_in(environ):
        environ[_REASON] = why  # for its line in the log
    return Author(environ.get(BEARER, ""), request_id(environ), why)


def _refused_reason(what: str) -> Refused:
    return bad_request("invalid-reason", f"The header {_REASON_HEADER} {what}.")


def _plain(given: str) -> str:
    return given if _PLAIN.fullmatch(given) else ""


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


def legible(text: str) -> str:
    """Text from outside as it may stand in a log: cut, and with escapes for what is not printable."""
    if len(text) > LONGEST_KEY:
        text = text[:LONGEST_KEY] + "…"
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
