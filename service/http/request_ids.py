"""The id by which a request is found again in logs: the client's, the platform's router's, or one made up. Pure.

An id that comes from outside is taken only if it is short and plain, since it ends up in logs and headers.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

HEADER = "X-Request-Id"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)


def sent(environ: dict[str, Any]) -> str:
    """What the client sent as X-Request-Id; "" if nothing that can be taken."""
    return _plain(environ.get("HTTP_X_REQUEST_ID", ""))


def request_id(environ: dict[str, Any]) -> str:
    """X-Request-Id, else X-Vcap-Request-Id (Cloud Foundry's router), else 16 random hexadecimal digits."""
    return sent(environ) or _plain(environ.get("HTTP_X_VCAP_REQUEST_ID", "")) or secrets.token_hex(8)


def _plain(given: str) -> str:
    return given if _PLAIN.fullmatch(given) else ""
