"""Hits: reads that are answered from memory at once, as every other read of a document would have been answered.

Also how a document that was read is made ready to be sent, wherever it came from. Written to be quick: this is what
most requests are. Whatever is not plainly a hit is left to `Documents.read`.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from http import HTTPStatus

from consistency import AsyncDistributedCache
from consistency.core.model import Reading, Revision, Source
from service.http.answers import (
    UNCONDITIONAL,
    UNKNOWN_SESSION,
    Head,
    ReadCondition,
    Wire,
    answer_reading,
    head,
    headers_for,
    read_condition,
    seen_in,
    wire_of,
)
from service.http.requests import ROOT, Environ

_PLAIN_QUERIES = ("", "use_cache=true")
_OK = int(HTTPStatus.OK)  # looked up, a noticeable part of a hit
_HEADS_KEPT = 4096
_ONE_TAG = re.compile(r'"[0-9]{1,19}"', re.ASCII)


class Hits:
    """Those of one cache."""

    def __init__(self, cache: AsyncDistributedCache) -> None:
        self._cache = cache

    def find(self, environ: Environ) -> Wire | None:
        """Return the answer from memory. None: there is none, or more is asked for than is understood here."""
        tag = environ.get("HTTP_IF_NONE_MATCH")
        path = environ["PATH_INFO"]
        if environ["QUERY_STRING"] not in _PLAIN_QUERIES or "HTTP_IF_MATCH" in environ or not path.isascii():
            return None
        if tag is not None and not _ONE_TAG.fullmatch(tag):
            return None
        cookie = environ.get("HTTP_COOKIE")
        # The key needs no check: it would not be found if it had not passed that of `Documents.read` before.
        key = path[len(ROOT) :]
        seen = 0 if cookie is None else seen_in(cookie, self._cache.known_fleet_id)
        reading = None if seen == UNKNOWN_SESSION else self._cache.hit(key, seen)
        if reading is None:
            return None
        return wire_of_reading(key, reading, UNCONDITIONAL if tag is None else read_condition(None, tag))


def wire_of_reading(key: str, reading: Reading, condition: ReadCondition) -> Wire:
    """Return the answer to a read as it is sent. Raises PreconditionFailed when If-Match doesn't hold."""
    if reading.value is None or condition is not UNCONDITIONAL:
        return wire_of(answer_reading(key, reading, condition))
    ready = _head_of_reading(
        reading.mod_revision, reading.revision, reading.source, math.ceil(reading.age), len(reading.value)
    )
    return _OK, ready, reading.value


@lru_cache(maxsize=_HEADS_KEPT)
def _head_of_reading(mod_revision: Revision, revision: Revision, source: Source, age: int, length: int) -> Head:
    """The same for all within a second, as long as nothing is written, and for all who share one load."""
    headers = headers_for(Reading(b"", mod_revision, revision, source, age))
    return head((*headers, ("Content-Length", str(length))))
