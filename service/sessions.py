"""The session cookie: the last revision that a client has written, so that its reads on any instance see it (rule 10).

Pure. The cookie is no credential and holds no secret. A malformed one counts as absent: its sender didn't write it.
"""

from __future__ import annotations

import re

from consistency.terms import Revision
from service.parameters import MAX_REVISION

COOKIE = "config_revision"
_ATTRIBUTES = "Path=/config; HttpOnly; SameSite=Lax"
_FOUND = re.compile(rf'(?:^|;)[ \t]*{COOKIE}="?([0-9]{{1,19}})"?[ \t]*(?=;|$)', re.ASCII)


def revision_in(cookie_header: str) -> Revision:
    """The revision in a Cookie header; the newest, if there are several; 0 if there is none."""
    if COOKIE not in cookie_header:
        return 0
    revisions = [int(digits) for digits in _FOUND.findall(cookie_header)]
    return max((revision for revision in revisions if revision <= MAX_REVISION), default=0)


def remember(revision: Revision) -> tuple[str, str]:
    """The header that gives a client its session."""
    return "Set-Cookie", f"{COOKIE}={revision}; {_ATTRIBUTES}"


def forget() -> tuple[str, str]:
    """The header that takes it away: the revision belongs to a history that is no more."""
    return "Set-Cookie", f"{COOKIE}=; Max-Age=0; {_ATTRIBUTES}"
