"""Answers as values: status, headers, body; and as bytes, as a server sends them. Pure.

Owns the response headers of the contract (`headers_for` is the only place where those of a read are made), and how
client and service tell each other of revisions: by entity tags and conditions, and by the session cookie.

An entity tag is the document's mod_revision in quotes, and strong: the same revision is the same bytes. Conditions on
it (RFC 9110, section 13) are decisions over values. Writes leave the comparison to etcd's transaction; where several
tags are offered, the caller reads the current revision first.

The session is the last revision that a client has written, so that its reads on any instance see it (rule 10). Its
cookie is no credential and holds no secret. It is named after the fleet: a browser sends the cookies of a host to all
of its ports, so those of another fleet there as well, whose revisions mean nothing here. A session that is there but
can't be understood is unknown, which is not the same as none: its client may have seen whatever was acknowledged. It
stays unknown until the next write names it; to take it away would be to forget it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO

from consistency.core.model import (
    Applied,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    PreconditionFailed,
    Reading,
    Revision,
    Source,
    Written,
)
from consistency.core.store import Change, Listed, Put
from service.documents.listings import IN_A_SLICE, Listing, member_of
from service.http.parameters import MAX_REVISION
from service.http.problems import CONTENT_TYPE as PROBLEM_TYPE
from service.http.problems import NOT_FOUND, Headers, Problem, bad_request, problem_for
from service.http.requests import path_of
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


# Entity tags and conditions

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Possessive throughout: a long header of commas and blanks must not be tried in every possible way.
_LIST = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+(?:{_TAG})?)*+[ \t]*+")
_TAGS = re.compile(_TAG)
_OF_A_DOCUMENT = re.compile(r'"([1-9][0-9]{0,18})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The document must be at one of these revisions: none or several of them, so no single comparison serves."""

    revisions: frozenset[Revision]


@dataclass(frozen=True, slots=True)
class Tags:
    """A parsed If-Match or If-None-Match. `anything`: it was `*`."""

    anything: bool
    listed: tuple[str, ...]

    def match_weakly(self, tag: str) -> bool:
        """For If-None-Match: the W/ of either side doesn't count."""
        return self.anything or tag in (listed.removeprefix("W/") for listed in self.listed)

    def match_strongly(self, tag: str) -> bool:
        """For If-Match: a weak tag never matches."""
        return self.anything or tag in self.listed


def etag_of(mod_revision: Revision) -> str:
    """The entity tag of a document."""
    return f'"{mod_revision}"'


def parse_tags(header: str, name: str) -> Tags:
    """The value of header `name`. Raises Refused (400) when it is malformed."""
    if header.strip(" \t") == "*":
        return Tags(anything=True, listed=())
    if not _LIST.fullmatch(header):
        raise bad_request("invalid-condition", f'{name} must be * or a list of entity tags such as "42".')
    return Tags(anything=False, listed=tuple(_TAGS.findall(header)))


@dataclass(frozen=True, slots=True)
class ReadCondition:
    """What a read was sent with. None: the header was absent."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    def status(self, mod_revision: Revision) -> HTTPStatus:
        """200, 304 or 412 when a document was found at `mod_revision`; 404 or 412 when there is none (0)."""
        tag = etag_of(mod_revision)
        if self.if_match is not None and not (mod_revision and self.if_match.match_strongly(tag)):
            return HTTPStatus.PRECONDITION_FAILED
        if not mod_revision:
            return HTTPStatus.NOT_FOUND
        unchanged = self.if_none_match is not None and self.if_none_match.match_weakly(tag)
        return HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK


UNCONDITIONAL = ReadCondition()
"""Neither header was there."""


def read_condition(if_match: str | None, if_none_match: str | None) -> ReadCondition:
    """Read the condition of a read from its two headers. Raises Refused (400)."""
    if if_match is None and if_none_match is None:
        return UNCONDITIONAL
    return ReadCondition(
        None if if_match is None else parse_tags(if_match, "If-Match"),
        None if if_none_match is None else parse_tags(if_none_match, "If-None-Match"),
    )


def write_condition(if_match: str | None, if_none_match: str | None) -> Precondition | AnyOf | None:
    """What must hold for a write. Raises Refused (400) for what is malformed, or can hold for no document."""
    if if_none_match is not None and not parse_tags(if_none_match, "If-None-Match").anything:
        raise bad_request("invalid-condition", "On a write If-None-Match must be *: only if there is no such key.")
    if if_match is None:
        return None if if_none_match is None else MustBeAbsent()
    if if_none_match is not None:
        raise bad_request("invalid-condition", "If-Match and If-None-Match contradict each other.")
    return _must_match(parse_tags(if_match, "If-Match"))


def _must_match(tags: Tags) -> Precondition | AnyOf:
    if tags.anything:
        return MustExist()
    # Canonical numbers only: "0" would compare equal to a key that does not exist.
    numbers = (int(found[1]) for tag in tags.listed if (found := _OF_A_DOCUMENT.fullmatch(tag)))
    revisions = frozenset(number for number in numbers if number <= MAX_REVISION)
    if len(revisions) == 1:
        return MustBeAt(next(iter(revisions)))
    return AnyOf(revisions)


# The session cookie

COOKIE = "config_revision"
"""What the session cookie's name begins with; by itself its name of before, when it did not tell its fleet."""

UNKNOWN_SESSION: Revision = -1
"""Of a session that can't be understood."""

_COOKIE_ATTRIBUTES = "Path=/config; HttpOnly; SameSite=Lax"
_COOKIE_VALUE = re.compile(r'"?([0-9]{1,19})"?', re.ASCII)


@lru_cache(maxsize=8)
def cookie_of(fleet: str) -> str:
    """The name of the session cookie of the fleet with this id."""
    return f"{COOKIE}_{fleet}"


def seen_in(cookies: str, fleet: str) -> Revision:
    """What the client has seen of this fleet, from its Cookie header: 0 if nothing, the newest of several.

    UNKNOWN_SESSION if it can't be told. fleet: "" if its id is not known: then every session is unknown. Some WSGI
    servers hand over a line that is not ASCII as empty, between semicolons if there are several. Written to be quick:
    every hit with a cookie needs it.
    """
    ours, seen = cookie_of(fleet), 0
    for each in cookies.split(";"):
        pair = each.strip(" \t")
        if not pair:
            return UNKNOWN_SESSION
        if not pair.startswith(COOKIE):
            continue
        name, _, value = pair.partition("=")
        name = name.rstrip(" \t")
        if name == COOKIE or not fleet:
            return UNKNOWN_SESSION
        if name == ours:
            found = _COOKIE_VALUE.fullmatch(value.lstrip(" \t"))
            if found is None or int(found[1]) > MAX_REVISION:
                return UNKNOWN_SESSION
            seen = max(seen, int(found[1]))
    return seen


def remember_session(fleet: str, revision: Revision) -> tuple[str, str]:
    """The header that gives a client its session."""
    return "Set-Cookie", f"{cookie_of(fleet)}={revision}; {_COOKIE_ATTRIBUTES}"


def forget_session(fleet: str) -> tuple[str, str]:
    """The header that takes it away: the revision belongs to a history that is no more."""
    return "Set-Cookie", f"{cookie_of(fleet)}=; Max-Age=0; {_COOKIE_ATTRIBUTES}"


# What is answered


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
