"""How client and service tell each other of revisions: by entity tags and conditions, and by the session cookie. Pure.

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

import re
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

from consistency.core.model import MustBeAbsent, MustBeAt, MustExist, Precondition, Revision
from service.http.parameters import MAX_REVISION
from service.http.problems import bad_request

COOKIE = "config_revision"
"""What the session cookie's name begins with; by itself its name of before, when it did not tell its fleet."""

UNKNOWN_SESSION: Revision = -1
"""Of a session that can't be understood."""

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Possessive throughout: a long header of commas and blanks must not be tried in every possible way.
_LIST = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+(?:{_TAG})?)*+[ \t]*+")
_TAGS = re.compile(_TAG)
_OF_A_DOCUMENT = re.compile(r'"([1-9][0-9]{0,18})"', re.ASCII)

_ATTRIBUTES = "Path=/config; HttpOnly; SameSite=Lax"
_SEEN = re.compile(r'"?([0-9]{1,19})"?', re.ASCII)


# Entity tags and conditions


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
            found = _SEEN.fullmatch(value.lstrip(" \t"))
            if found is None or int(found[1]) > MAX_REVISION:
                return UNKNOWN_SESSION
            seen = max(seen, int(found[1]))
    return seen


def remember_session(fleet: str, revision: Revision) -> tuple[str, str]:
    """The header that gives a client its session."""
    return "Set-Cookie", f"{cookie_of(fleet)}={revision}; {_ATTRIBUTES}"


def forget_session(fleet: str) -> tuple[str, str]:
    """The header that takes it away: the revision belongs to a history that is no more."""
    return "Set-Cookie", f"{cookie_of(fleet)}=; Max-Age=0; {_ATTRIBUTES}"
