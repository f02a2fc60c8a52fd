"""The read of one document: from a request's environment to the answer. Flask's route and the hit path both go here.

Everything is refused that can be before the cache is asked.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Any

from consistency import DistributedCache
from consistency.core.model import Revision, WrongTimeline
from consistency.core.store import StoreError
from service.http import sessions
from service.http.answers import Answer, answer_reading
from service.http.conditions import read_condition
from service.http.keys import key_from_path
from service.http.parameters import AtRevision, read_parameters
from service.http.problems import Refused, problem_for

Environ = dict[str, Any]

_parameters = lru_cache(maxsize=256)(read_parameters)  # clients ask in a few ways, and what is refused isn't kept


def answer_read(cache: DistributedCache, environ: Environ) -> Answer:
    """200, 304 or 404.

    Raises Refused (400, 410), PreconditionFailed, and what `DistributedCache.get` raises.
    """
    key = key_from_path(environ["PATH_INFO"])
    asked = _parameters(environ.get("QUERY_STRING", ""))
    # As WSGI has them: Flask's own parser takes malformed conditions for absent ones.
    condition = read_condition(environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH"))
    if isinstance(asked, AtRevision):
        return answer_reading(key, cache.get_at(key, asked.revision), condition)
    seen = _seen(cache, environ)
    try:
        reading = cache.get(
            key,
            asked.use_cache,
            linearizable=asked.linearizable,
            min_revision=max(asked.min_revision, seen),
            stale_if_error=asked.stale_if_error,
            session_unknown=seen == sessions.UNKNOWN,
        )
    except WrongTimeline as wrong:
        if seen <= wrong.current:
            raise  # a parameter is to blame: a good session is left alone
        problem = problem_for(wrong)
        ended = (*problem.headers, sessions.forget(cache.known_fleet_id))
        raise Refused(replace(problem, headers=ended)) from wrong
    return answer_reading(key, reading, condition)


def _seen(cache: DistributedCache, environ: Environ) -> Revision:
    """What the session says that this client has seen."""
    cookies = environ.get("HTTP_COOKIE")
    if cookies is None:
        return 0
    seen = sessions.revision_in(cookies, cache.known_fleet_id)
    if seen == sessions.UNKNOWN and not cache.known_fleet_id:
        with suppress(StoreError):  # nothing is in memory yet: a session that stays unknown costs nothing more
            seen = sessions.revision_in(cookies, cache.fleet_id())
    return seen
