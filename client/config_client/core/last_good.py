"""The last known good as bytes: written so that a torn, a foreign or an old one is told from a good one. Pure.

The first line is `config-service-client 1 <SHA-256 of all that follows>`; what follows is one JSON object.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType

from config_client.core.model import Document, View
from config_client.errors import BadFallback

FORMAT = "config-service-client 1"
MOST_AHEAD = 300.0
"""Seconds that a file may be from the future: clocks differ, and are set."""


@dataclass(frozen=True, slots=True)
class LastGood:
    """A view, and when it was the newest: seconds since 1970."""

    view: View
    proven_at: float


def written(view: View, prefix: str, proven_at: float) -> bytes:
    """Return the file's content."""
    documents = [[each.key, each.mod_revision, _text(each.value)] for each in view.documents.values()]
    content = {
        "prefix": prefix,
        "revision": view.revision,
        "timeline": view.token,
        "proven_at": proven_at,
        "documents": documents,
    }
    body = json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode()
    return b"%s %s\n%s" % (FORMAT.encode(), hashlib.sha256(body).hexdigest().encode(), body)


def read(content: bytes, prefix: str, now: float, max_age: float) -> LastGood:
    """Return what a file says. now: seconds since 1970. Raises BadFallback, which says why not."""
    head, _, body = content.partition(b"\n")
    name, _, checksum = head.rpartition(b" ")
    if name != FORMAT.encode():
        raise BadFallback(f"it does not begin with {FORMAT!r}: it is none of this client's files")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise BadFallback("its checksum is not that of its content: it is torn, or was changed")
    try:
        data = json.loads(body)
        documents = {key: Document(key, _bytes(text), revision) for key, revision, text in data["documents"]}
        view = View(MappingProxyType(documents), data["timeline"], data["revision"])
        found, proven_at = data["prefix"], float(data["proven_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadFallback(f"it is not understood: {error!r}") from error
    if found != prefix:
        raise BadFallback(f"it is of the prefix {found!r}, and {prefix!r} is asked for")
    if proven_at - now > MOST_AHEAD:
        raise BadFallback(f"it is {proven_at - now:.0f} s from the future: this machine's clock is wrong, or was")
    if now - proven_at > max_age:
        raise BadFallback(f"it was the newest {now - proven_at:.0f} s ago, and {max_age:.0f} s are accepted at most")
    return LastGood(view, proven_at)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
