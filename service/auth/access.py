"""Who may do what: which scope a request needs, and what is said to one that may not. Pure.

Whatever is not known here to be open, or to need less, needs `admin`: a page that somebody adds is closed until it is
listed. Method, path and token alone decide, so that no answer tells whether a document exists.
"""

from __future__ import annotations

from http import HTTPStatus

from service.auth.tokens import Scope, Token, offers_bearer
from service.http.problems import Refused, refused
from service.http.requests import ROOT, key_from_path

OPEN = frozenset({"", "/", "/healthz", "/readyz", "/docs", "/openapi.yaml", "/members/proof"})
"""For everybody: pages that say nothing of what is stored, what platforms ask without a token, and what is asked before
one is sent."""

DOCS = "/docs/"
"""What the page /docs is made of; no part of it is anybody's."""

PAGE = "/page/"
"""What the page / is made of."""

METRICS = "/metrics"
SHARED_METRICS = "/metrics/at-the-port-of-several"
"""What METRICS means at a port that several workers share (`service.workers.shared_port`)."""

MEMBERS = "/members"
"""In front of a document's path: what every member answers to its read."""

TARGETS = "/members/targets"
OBSERVED = frozenset({METRICS, MEMBERS, TARGETS, "/members/me", "/members/states"})

HISTORY = "/history/"
"""In front of a key: who changed it."""

ROLLBACK = "/rollback"
CHANGES = "/changes"
POLICY = "/policy"
COLLECTION = frozenset({"/config", ROOT})
REALM = "config-service"

_READS = ("GET", "HEAD")


def needed(method: str, path: str) -> Scope | None:
    """The scope that a request needs; None if it is open. `path`: decoded, as WSGI has it."""
    if names_document(path) or path in COLLECTION:
        return Scope.READ if method in _READS else Scope.WRITE
    if (names_document(document_path(path)) or path == CHANGES) and method in _READS:
        return Scope.READ
    if path == ROLLBACK and method == "POST":
        return Scope.WRITE
    if path in OPEN or path.startswith((DOCS, PAGE)):
        return None
    return Scope.OBSERVE if path in OBSERVED or path == SHARED_METRICS else Scope.ADMIN


def check(scope: Scope, token: Token | None, path: str, header: str) -> str:
    """With what the keys start that this token is for, if it is for what needs this scope, at this path.

    `header`: the Authorization that was sent. Raises Refused: 401; 403; 400 when the token is for some keys only, and
    the path names none.
    """
    if token is None:
        raise _unknown(offered=offers_bearer(header))
    if not token.may(scope):
        raise forbidden(scope, f"This needs a token with the scope {scope}, which {token.name} does not have.")
    document = document_path(path)
    if token.prefix and names_document(document):
        check_key(key_from_path(document), token.prefix, scope)
    return token.prefix


def document_path(path: str) -> str:
    """The path of the document that this one is about, if it is about one."""
    if path.startswith(HISTORY) and path != HISTORY:
        return ROOT + path[len(HISTORY) :]
    return path.removeprefix(MEMBERS)


def names_document(path: str) -> bool:
    """Whether it is the path of one document, if of anything."""
    return path.startswith(ROOT) and path != ROOT


def check_key(key: str, prefix: str, scope: Scope) -> None:
    """Raises Refused (403) unless `key` is one of those that a token with this prefix is for."""
    if not key.startswith(prefix):
        raise forbidden(scope, f"This token is for keys that start with {prefix!r}, and {key!r} doesn't.")


def narrowed(asked: str, prefix: str) -> str:
    """The keys to list for a client that asked for one prefix and may read another: those with both.

    Raises Refused (403) if nothing can be.
    """
    if asked.startswith(prefix):
        return asked
    if prefix.startswith(asked):
        return prefix
    raise forbidden(Scope.READ, f"This token is for keys that start with {prefix!r}; with {asked!r} none does.")


def _unknown(*, offered: bool) -> Refused:
    """401. A request without a token is told no error (RFC 6750, 3.1)."""
    if not offered:
        return _challenge(HTTPStatus.UNAUTHORIZED, "no-token", "This needs a header Authorization: Bearer <token>.")
    detail = "The bearer token in the header Authorization is none of those that are let in."
    return _challenge(HTTPStatus.UNAUTHORIZED, "invalid-token", detail, error="invalid_token")


def forbidden(scope: Scope, detail: str) -> Refused:
    """Return a refusal (403) of what needs this scope."""
    return _challenge(HTTPStatus.FORBIDDEN, "insufficient-scope", detail, error="insufficient_scope", scope=scope)


def _challenge(status: HTTPStatus, slug: str, detail: str, **parameters: str) -> Refused:
    given = ", ".join(f'{name}="{value}"' for name, value in {"realm": REALM, **parameters}.items())
    return refused(status, slug, detail, headers=(("WWW-Authenticate", f"Bearer {given}"),))
