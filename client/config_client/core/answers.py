"""What answers mean that are not a stream: problem documents (RFC 9457), redirects, strangers. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from config_client.errors import (
    CallFailed,
    Denied,
    Fault,
    Gone,
    NoSuchKey,
    OutcomeUnknown,
    PolicyViolation,
    PreconditionFailed,
    ReasonRequired,
    Rejected,
    Unavailable,
)

MOST_READ = 65_536
"""Bytes of an answer that is no stream: a problem document is much shorter."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address will not do. is_final: it will not do later, either, unless somebody changes something.

    retry_after: seconds, if it asks for them. refuses_token: the place in the history is of another one, or can't be
    read: all has to be told anew.
    """

    why: str
    is_final: bool = False
    retry_after: float | None = None
    refuses_token: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What a problem document says; of anything else, what can be said of it."""

    kind: str
    detail: str
    outcome: str | None
    index: int | None
    faults: tuple[Fault, ...] = ()


def problem_of(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Return what an answer says of itself. headers: names in lower case."""
    if headers.get("content-type", "").partition(";")[0].strip() == "application/problem+json":
        try:
            data = json.loads(body)
        except ValueError:
            data = None
        if isinstance(data, dict):
            index = data.get("index")
            kind = str(data.get("type", "")).rpartition(":")[2]
            detail = str(data.get("detail") or data.get("title") or "")
            faults = _faults_of(data.get("errors"))
            return Problem(kind, detail, data.get("outcome"), index if isinstance(index, int) else None, faults)
    return Problem("", f"an answer of {status} that is none of config-service's", None, None)


def _faults_of(errors: object) -> tuple[Fault, ...]:
    listed = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return tuple(
        Fault(*(str(each.get(name, "")) for name in ("pointer", "expected", "key", "prefix"))) for each in listed
    )


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of Retry-After, a date counted from the answer's; None for what can't be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Return why an answer to `GET /changes` is no stream of changes."""
    problem, retry_after = problem_of(status, headers, body), retry_after_of(headers)
    if status == 200:
        kind = headers.get("content-type") or "nothing"
        return Refusal(f"expected text/event-stream, found {kind}: is this config-service?", is_final=True)
    if 300 <= status < 400:
        where = headers.get("location", "nowhere")
        return Refusal(f"it redirects to {where}; redirects are not followed: give that address", is_final=True)
    if status == 401:
        return Refusal(f"401, the token is missing or not valid: {problem.detail}", is_final=True)
    if status == 404:
        return Refusal("404, it has no /changes: is this config-service, and new enough?", is_final=True)
    if status == 410:
        return Refusal(f"410, {problem.detail}", retry_after=retry_after, refuses_token=True)
    if status in (429, 503):
        return Refusal(f"{status}, {problem.detail}", retry_after=retry_after)
    final = 400 <= status < 500 and status != 408
    return Refusal(f"{status}, {problem.detail}", is_final=final, refuses_token=status == 400)


def error_of(status: int, headers: Mapping[str, str], body: bytes, what: str, *, writes: bool) -> Exception:
    """Return what to raise for an answer that is an error. what: the call, for the message."""
    problem = problem_of(status, headers, body)
    if status == 404 and problem.kind in ("no-such-key", "not-found"):
        return NoSuchKey(f"{what}: {problem.detail}")
    said = f"{what}: {status}, {problem.detail}"
    if 300 <= status < 400:
        said = f"{what}: {refusal_of(status, headers, body).why}"
    kind = _kind_of(status, problem, writes=writes)
    return kind(said, status=status, kind=problem.kind, index=problem.index, faults=problem.faults)


def _kind_of(status: int, problem: Problem, *, writes: bool) -> type[CallFailed]:
    if problem.outcome == "unknown" or (status >= 500 and problem.outcome is None and writes):
        return OutcomeUnknown if writes else Unavailable
    match status:
        case 401 | 403:
            return Denied
        case 410:
            return Gone
        case 412:
            return PreconditionFailed
        case 422:
            return PolicyViolation
        case 428 if problem.kind == "reason-required":
            return ReasonRequired
        case 408 | 429 | 500 | 503 | 504:
            return Unavailable
        case _:
            return Rejected
