"""The session cookie: the last revision that a client has written, so that its reads on any instance see it (rule 10).

Pure. The cookie is no credential and holds no secret. It is named after the fleet: a browser sends the cookies of a
host to all of its ports, so those of another fleet there as well, whose revisions mean nothing here.

A session that is there but can't be understood is unknown, which is not the same as none: its client may have seen
whatever was acknowledged. It stays unknown until the next write names it; to take it away would be to forget it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from consistency.core.model import Revision
from service.http.parameters import MAX_REVISION

STEM = "config_revision"
"""With what the cookie's name starts; by itself the name that it had when it did not tell of which fleet it is."""

UNKNOWN: Revision = -1
"""Of a session that can't be understood."""

_ATTRIBUTES = "Path=/config; HttpOnly; SameSite=Lax"
_REVISION = re.compile(r'"?([0-9]{1,19})"?', re.ASCII)


@lru_cache(maxsize=8)
def cookie_of(fleet: str) -> str:
    """The name of the session cookie of the fleet with this id."""
    return f"{STEM}_{fleet}"


def revision_in(cookies: str, fleet: str) -> Revision:
    """What the client has seen of this fleet, from its Cookie header: 0 if nothing, the newest of several; UNKNOWN.

    fleet: "" if its id is not known: then every session is unknown. Some WSGI servers hand over a line that is not
    ASCII as empty, between semicolons if there are several. Written to be quick: every hit with a cookie needs it.
    """
    ours, seen = cookie_of(fleet), 0
    for each in cookies.split(";"):
        pair = each.strip(" \t")
        if not pair:
            return UNKNOWN
        if not pair.startswith(STEM):
            continue
        name, _, value = pair.partition("=")
        name = name.rstrip(" \t")
        if name == STEM or not fleet:
            return UNKNOWN
        if name == ours:
            found = _REVISION.fullmatch(value.lstrip(" \t"))
            if found is None or int(found[1]) > MAX_REVISION:
                return UNKNOWN
            seen = max(seen, int(found[1]))
    return seen


def remember(fleet: str, revision: Revision) -> tuple[str, str]:
    """The header that gives a client its session."""
    return "Set-Cookie", f"{cookie_of(fleet)}={revision}; {_ATTRIBUTES}"


def forget(fleet: str) -> tuple[str, str]:
    """The header that takes it away: the revision belongs to a history that is no more."""
    return "Set-Cookie", f"{cookie_of(fleet)}=; Max-Age=0; {_ATTRIBUTES}"
