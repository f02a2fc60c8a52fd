"""`X-Change-Reason`: why a write is made, in the words of whoever makes it. Pure.

A header is ASCII, so a reason is written as keys are in paths: percent-encoded UTF-8, in which `%25` is a percent sign.
Nothing is guessed: what was sent and can't be read is refused, never taken for absent.

    X-Change-Reason: twice the load since Monday
    X-Change-Reason: mehr als 80 %25 im M%C3%A4rz
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from consistency import Author
from consistency.core.authors import LONGEST_REASON
from service.http.keys import check_escapes
from service.http.problems import Refused, bad_request
from service.http.request_heads import Environ
from service.http.request_log import BEARER, REASON, request_id

HEADER = "X-Change-Reason"
_SENT = "HTTP_X_CHANGE_REASON"

_PLAIN = re.compile(r"[ -~]+", re.ASCII)
_REFUSED = ("Cc", "Zl", "Zp")
"""Unicode's categories of what would break a line, or can't be seen and does something."""


def reason_in(environ: Environ) -> str:
    """The reason that a request gives; "" if it gives none. Raises Refused (400)."""
    if _SENT not in environ:
        return ""
    text = str(environ[_SENT]).strip(" \t")
    if not _PLAIN.fullmatch(text):
        raise _refusal("is empty, or not printable ASCII; write anything else as percent-encoded UTF-8")
    check_escapes(text, f"header {HEADER}")
    try:
        reason = unquote_to_bytes(text).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _refusal("is not UTF-8 once it is percent-decoded") from None
    if len(reason) > LONGEST_REASON:
        raise _refusal(f"has {len(reason)} characters; at most {LONGEST_REASON} are allowed")
    if any(unicodedata.category(character) in _REFUSED for character in reason):
        raise _refusal("has a control character or a line end in it")
    return reason


def author_of(environ: Environ) -> Author:
    """Return who makes this request, and why: its token's name, its id, its reason. Raises Refused (400)."""
    if why := reason_in(environ):
        environ[REASON] = why  # for its line in the log
    return Author(environ.get(BEARER, ""), request_id(environ), why)


def _refusal(what: str) -> Refused:
    return bad_request("invalid-reason", f"The header {HEADER} {what}.")
