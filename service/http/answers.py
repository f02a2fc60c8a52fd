"""Answers as values: status, headers, body; and as bytes, as a server sends them. Pure.

Owns the response headers of the contract. `headers_for` is the only place where those of a read are made.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO

from consistency.core.model import Applied, PreconditionFailed, Reading, Source, Written
from consistency.core.store import Change, Listed, Put
from service.documents.listings import IN_A_SLICE, Listing, member_of
from service.http.keys import path_of
from service.http.problems import CONTENT_TYPE as PROBLEM_TYPE
from service.http.problems import NOT_FOUND, Headers, Problem, problem_for
from service.http.revisions import ReadCondition, etag_of, remember_session
from service.http.security_headers import SECURITY_HEADERS
from service.json_encoding import encode, write_object

Head = list[tuple[bytes, bytes]]
Wire = tuple[int, Head, bytes]
"""Status, headers and body as ASGI has them."""

CLOSE = (b"connection", b"close")

JSON_TYPE = "application/json"
REVALIDATE = ("Cache-Control", "no-cache")
NO_STORE = ("Cache-Control", "no-store")

_JSON = ("Content-Type", JSON_TYPE)
_PROBLEM = ("Content-Type", PROBLEM_TYPE)
_NO_LENGTH = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_X_CACHE = {source: ("X-Cache", source.value) for source in Source}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response. Content-Length is the body's."""

    status: int
    headers: Headers
    body: bytes = b""


def headers_for(reading: Reading) -> list[tuple[str, str]]:
    """The headers of the answer to a read, whatever its status. Written to be quick: every hit needs them.

    Age is in whole seconds (RFC 9111), rounded up: it never claims more freshness than was proven.
    """
    headers = [
        _PROBLEM if reading.value is None else _JSON,
        ("X-Config-Revision", str(reading.revision)),
        _X_CACHE[reading.source],
        ("Age", str(math.ceil(reading.age))),
        REVALIDATE,
        *SECURITY_HEADERS,
    ]
    if reading.value is not None:
        headers.append(("ETag", etag_of(reading.mod_revision)))
    return headers


def answer_reading(key: str, reading: Reading, condition: ReadCondition) -> Answer:
    """200, 304 or 404. Raises PreconditionFailed when If-Match doesn't hold."""
    headers = tuple(headers_for(reading))
    status = condition.status(reading.mod_revision)
    if status == HTTPStatus.PRECONDITION_FAILED:
        raise PreconditionFailed(key, reading.mod_revision)
    if status == HTTPStatus.NOT_MODIFIED:
        return Answer(status, tuple(pair for pair in headers if pair[0] != "Content-Type"))
    if reading.value is None:
        return answer_problem(Problem(NOT_FOUND, f"There is no key {key!r}.", headers))
    return Answer(status, headers, reading.value)


def answer_put(key: str, document: bytes, written: Written, fleet: str) -> Answer:
    """200 or 201, with what is stored now. `fleet`: its id, here as below, for the session."""
    status = HTTPStatus.OK if written.existed else HTTPStatus.CREATED
    etag = ("ETag", etag_of(written.revision))
    location = () if written.existed else (("Location", path_of(key)),)
    headers = (("Content-Type", JSON_TYPE), etag, *location, *write_headers(written, fleet), *SECURITY_HEADERS)
    return Answer(status, headers, document)


def answer_delete(written: Written, fleet: str) -> Answer:
    """204, whether there was such a key or not."""
    return Answer(HTTPStatus.NO_CONTENT, (*write_headers(written, fleet), *SECURITY_HEADERS))


def answer_batch(changes: Sequence[Change], applied: Applied, fleet: str) -> Answer:
    """200, and for each operation, in the order given, whether there was such a key."""
    results = [
        {"key": change.key, "op": "put" if isinstance(change, Put) else "delete", "existed": existed}
        for change, existed in zip(changes, applied.existed, strict=True)
    ]
    document = {"revision": applied.revision, "results": results}
    return answer_json(document, headers=write_headers(applied, fleet))


def write_headers(written: Written | Applied, fleet: str) -> Headers:
    """Return the headers of the answer to a write. X-Fleet-Acks says how many instances of how many acknowledged a
    synchronous one."""
    revision = ("X-Config-Revision", str(written.revision))
    acks = () if written.acks is None else (("X-Fleet-Acks", "{}/{}".format(*written.acks)),)
    return revision, *acks, REVALIDATE, remember_session(fleet, written.revision)


def answer_page(listing: Listing, values: Mapping[str, bytes] | None = None) -> Generator[None, None, Answer]:
    """Return a listing, which is encoded in slices: with 1,000 keys of 500 bytes it takes 6 ms.

    `next` goes into the next request's `after`; null at the end. values: of each key, its document.
    """
    more, revision = listing.following is not None, listing.revision
    body = BytesIO()
    body.write(b'{"keys": [')
    for start in range(0, len(listing.keys), IN_A_SLICE):
        some = listing.keys[start : start + IN_A_SLICE]
        body.write(b", " if start else b"")
        if values is None:
            body.write(encode([_about(listed) for listed in some])[1:-1])
        else:
            for number, listed in enumerate(some):
                body.write(b", " if number else b"")
                yield from write_object(body, _about(listed), member_of(values[listed.key]))
        yield
    rest = encode({"more": more, "next": listing.following, "revision": revision})
    body.write(b"], %b\n" % rest[1:])
    yield
    return answer_encoded(body.getvalue(), headers=(("X-Config-Revision", str(revision)), REVALIDATE))


def _about(listed: Listed) -> dict[str, object]:
    return {"key": listed.key, "mod_revision": listed.mod_revision, "create_revision": listed.create_revision}


def answer_json(document: object, status: int = HTTPStatus.OK, headers: Headers = ()) -> Answer:
    """Any JSON of our own."""
    return answer_encoded(encode(document) + b"\n", status, headers)


def answer_encoded(line: bytes, status: int = HTTPStatus.OK, headers: Headers = ()) -> Answer:
    """The same, where it has been encoded already, as a line."""
    return Answer(status, (_JSON, *headers, *SECURITY_HEADERS), line)


def answer_problem(problem: Problem) -> Answer:
    """A problem document."""
    return Answer(problem.kind.status, problem.all_headers(), problem.body())


def answer_error(error: Exception) -> Answer:
    """What an exception amounts to."""
    return answer_problem(problem_for(error))


# As they are sent


def wire_of(answer: Answer) -> Wire:
    """Return an answer as it is sent."""
    return int(answer.status), head(headers_of(answer)), answer.body


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    """Return the headers with which an answer is sent: with the length of its body."""
    if answer.status in _NO_LENGTH:
        return list(answer.headers)
    return [*answer.headers, ("Content-Length", str(len(answer.body)))]


def head(headers: Iterable[tuple[str, str]]) -> Head:
    """Return headers as ASGI has them."""
    return [_encoded(pair) for pair in headers]


@lru_cache(maxsize=1024)  # most are among a few
def _encoded(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    return pair[0].lower().encode("latin-1"), pair[1].encode("latin-1")
