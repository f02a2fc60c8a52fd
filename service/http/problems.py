"""What is answered when something is refused or fails: RFC 9457 problem documents.

Owns the one table from exceptions to statuses. Every problem that could have been a write says in `outcome` whether
it happened. Knows nothing of Flask. The details are for the caller and hold no secret and no stack trace.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus

from consistency.core.model import PreconditionFailed, WrongTimeline
from consistency.core.store import (
    BadCredentials,
    Compacted,
    Denied,
    FleetTooOld,
    NoSpace,
    NotReached,
    OutcomeUnknown,
    Rejected,
    TooLarge,
    Unavailable,
)
from service.http.security_headers import SECURITY_HEADERS

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:config-service:"
NOT_DONE = "not done"
UNKNOWN = "unknown"

Headers = tuple[tuple[str, str], ...]
Extensions = tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table. `retry_after`: seconds, or None when the same request would fail the same way."""

    slug: str
    status: HTTPStatus
    title: str
    outcome: str = NOT_DONE
    retry_after: int | None = None


KINDS: dict[type[Exception], Kind] = {
    Unavailable: Kind("unavailable", HTTPStatus.SERVICE_UNAVAILABLE, "etcd gave no answer; not done", retry_after=1),
    BadCredentials: Kind(
        "etcd-credentials", HTTPStatus.SERVICE_UNAVAILABLE, "etcd refuses this service; not done", retry_after=10
    ),
    Denied: Kind("etcd-denied", HTTPStatus.SERVICE_UNAVAILABLE, "etcd denies this service; not done", retry_after=10),
    OutcomeUnknown: Kind(
        "outcome-unknown", HTTPStatus.GATEWAY_TIMEOUT, "Outcome unknown: it may or may not have happened", UNKNOWN
    ),
    NoSpace: Kind("no-space", HTTPStatus.INSUFFICIENT_STORAGE, "etcd is out of space; not done"),
    TooLarge: Kind("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too large; not done"),
    FleetTooOld: Kind("fleet-too-old", HTTPStatus.CONFLICT, "Not all instances know this; not done"),
    Rejected: Kind("rejected", HTTPStatus.BAD_GATEWAY, "etcd refused the request; not done"),
    PreconditionFailed: Kind("precondition-failed", HTTPStatus.PRECONDITION_FAILED, "Precondition failed; not done"),
    WrongTimeline: Kind("wrong-timeline", HTTPStatus.GONE, "The revision is from before etcd was restored"),
    Compacted: Kind("compacted", HTTPStatus.GONE, "The revision has been compacted away"),
    NotReached: Kind("not-reached", HTTPStatus.GONE, "The revision has not been reached, or is from before a restore"),
}
INTERNAL = Kind("internal", HTTPStatus.INTERNAL_SERVER_ERROR, "Unexpected error", UNKNOWN)
NOT_FOUND = Kind("not-found", HTTPStatus.NOT_FOUND, "No such key", outcome="")


def kind_of(error: Exception) -> Kind:
    """The row of the nearest class; INTERNAL for what nobody foresaw."""
    return next((KINDS[ancestor] for ancestor in type(error).__mro__ if ancestor in KINDS), INTERNAL)


@dataclass(frozen=True, slots=True)
class Problem:
    """One answer that is not the one asked for. `detail` is a sentence: what was found, what was expected.

    extensions: further members of the document (RFC 9457, 3.2), for programs.
    """

    kind: Kind
    detail: str
    headers: Headers = ()
    extensions: Extensions = ()

    def body(self) -> bytes:
        """The RFC 9457 document."""
        document: dict[str, object] = {
            "type": TYPE_PREFIX + self.kind.slug,
            "title": self.kind.title,
            "status": int(self.kind.status),
            "detail": self.detail,
            **dict(self.extensions),
        }
        if self.kind.outcome:
            document["outcome"] = self.kind.outcome
        return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

    def all_headers(self) -> Headers:
        """`headers`, and those that every problem bears."""
        common = (("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store"), *SECURITY_HEADERS)
        retry = () if self.kind.retry_after is None else (("Retry-After", str(self.kind.retry_after)),)
        given = {name for name, _ in self.headers}
        return self.headers + tuple(pair for pair in common + retry if pair[0] not in given)


class Refused(Exception):
    """A request that is answered with `problem`, without anything having been done."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def refused(
    status: HTTPStatus, slug: str, detail: str, *, retry_after: int | None = None, headers: Headers = ()
) -> Refused:
    """A refusal with the status' own phrase as its title."""
    return Refused(Problem(Kind(slug, status, status.phrase, NOT_DONE, retry_after), detail, headers))


def bad_request(slug: str, detail: str) -> Refused:
    """400: the request itself is wrong."""
    return refused(HTTPStatus.BAD_REQUEST, slug, detail)


def problem_for(error: Exception) -> Problem:
    """The answer to an exception from a route or the cache. What was not foreseen is told without its internals."""
    if isinstance(error, Refused):
        return error.problem
    kind = kind_of(error)
    if kind is INTERNAL:
        return Problem(kind, "This is a fault of the service; its log says more.")
    if isinstance(error, PreconditionFailed) and error.current:
        return Problem(kind, str(error), (("ETag", f'"{error.current}"'),))
    return Problem(kind, str(error))
