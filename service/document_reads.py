"""The read of one document: from a request's environment to the answer. Flask's route and the hit path both go here.

Everything is refused that can be before the cache is asked.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from consistency.cache import DistributedCache
from service.answers import Answer, answer_reading
from service.conditions import read_condition
from service.keys import key_from_path
from service.parameters import AtRevision, read_parameters
from service.sessions import revision_in

Environ = dict[str, Any]

_parameters = lru_cache(maxsize=256)(read_parameters)  # clients ask in a few ways, and what is refused isn't kept


def answer_read(cache: DistributedCache, environ: Environ) -> Answer:
    """200, 304 or 404. Raises Refused (400), PreconditionFailed, and what `DistributedCache.get` raises."""
    key = key_from_path(environ["PATH_INFO"])
    asked = _parameters(environ.get("QUERY_STRING", ""))
    # As WSGI has them: Flask's own parser takes malformed conditions for absent ones.
    condition = read_condition(environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH"))
    if isinstance(asked, AtRevision):
        return answer_reading(key, cache.get_at(key, asked.revision), condition)
    reading = cache.get(
        key,
        asked.use_cache,
        linearizable=asked.linearizable,
        min_revision=max(asked.min_revision, revision_in(environ.get("HTTP_COOKIE", ""))),
        stale_if_error=asked.stale_if_error,
    )
    return answer_reading(key, reading, condition)
