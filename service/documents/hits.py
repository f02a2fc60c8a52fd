"""Hits: reads that are answered from memory at once, as every other read of a document would have been answered.

Written to be quick: this is what most requests are. Whatever is not plainly a hit is left to `Documents.read`.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from http import HTTPStatus

from consistency import AsyncDistributedCache
from consistency.core.model import Reading, Revision, Source
from service.http.answers import answer_reading, headers_for
from service.http.conditions import read_condition
from service.http.environ import Environ
from service.http.keys import ROOT
from service.http.sessions import UNKNOWN, revision_in
from service.http.wire import Head, head, headers_of

_PLAIN_QUERIES = ("", "use_cache=true")
_ONE_TAG = re.compile(r'"[0-9]{1,19}"', re.ASCII)
_OK = int(HTTPStatus.OK)  # looked up, a noticeable part of a hit
_HEADS_KEPT = 4096

Hit = tuple[int, Head, bytes]
"""Status, headers, body."""


class Hits:
    """Those of one cache."""

    def __init__(self, cache: AsyncDistributedCache) -> None:
        self._cache = cache

    def find(self, environ: Environ) -> Hit | None:
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
        seen = 0 if cookie is None else revision_in(cookie, self._cache.known_fleet_id)
        reading = None if seen == UNKNOWN else self._cache.hit(key, seen)
        if reading is None:
            return None
        if reading.value is None or tag is not None:
            answer = answer_reading(key, reading, read_condition(None, tag))
            return int(answer.status), head(headers_of(answer)), answer.body
        age = math.ceil(reading.age)
        return _OK, _head(reading.mod_revision, reading.revision, age, len(reading.value)), reading.value


@lru_cache(maxsize=_HEADS_KEPT)
def _head(mod_revision: Revision, revision: Revision, age: int, length: int) -> Head:
    """The headers of a hit: the same for all within a second, as long as nothing is written."""
    reading = Reading(b"", mod_revision, revision, Source.HIT, age)
    return head((*headers_for(reading), ("Content-Length", str(length))))
