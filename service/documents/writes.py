"""The writes of one document: from a request's environment to the answer. Flask's routes and the short way go here.

Everything is refused that can be before the cache is asked, and the body is received last of all.
"""

from __future__ import annotations

from functools import lru_cache

from consistency import DistributedCache
from consistency.core.model import MustBeAbsent, MustBeAt, Precondition, PreconditionFailed
from service.documents.reads import Environ
from service.http.answers import Answer, answer_delete, answer_put
from service.http.bodies import BodyReader
from service.http.conditions import AnyOf, write_condition
from service.http.keys import key_from_path
from service.http.parameters import write_parameters
from service.http.problems import bad_request

_parameters = lru_cache(maxsize=16)(write_parameters)  # clients ask in a few ways, and what is refused isn't kept


class DocumentWrites:
    """PUT or POST, and DELETE, over this cache. Keeps no state but the reader's."""

    def __init__(self, cache: DistributedCache, reader: BodyReader) -> None:
        self._cache = cache
        self._reader = reader

    def put(self, environ: Environ) -> Answer:
        """200 or 201. Raises Refused, PreconditionFailed, and what `DistributedCache.put` raises."""
        key, sync, condition = _asked(environ)
        with self._reader.reading(environ) as document:
            fleet = self._cache.fleet_id()  # before anything is written: an answer without it would lose the session
            written = self._cache.put(key, document, precondition=self._settle(condition, key), sync=sync)
            return answer_put(key, document, written, fleet)

    def delete(self, environ: Environ) -> Answer:
        """204. Raises Refused, PreconditionFailed, and what `DistributedCache.delete` raises."""
        key, sync, condition = _asked(environ)
        if isinstance(condition, MustBeAbsent):
            raise bad_request("invalid-condition", "If-None-Match: * allows a DELETE only of what does not exist.")
        fleet = self._cache.fleet_id()
        return answer_delete(self._cache.delete(key, precondition=self._settle(condition, key), sync=sync), fleet)

    def _settle(self, condition: Precondition | AnyOf | None, key: str) -> Precondition | None:
        """One comparison for etcd's transaction. Several tags: the one that is current, read from etcd just now.

        Should the key change in between, the transaction refuses, as it would have done a moment later.
        Raises PreconditionFailed when none is current.
        """
        if not isinstance(condition, AnyOf):
            return condition
        current = self._cache.get(key, use_cache=False).mod_revision
        if current not in condition.revisions:
            raise PreconditionFailed(key, current)
        return MustBeAt(current)


def _asked(environ: Environ) -> tuple[str, bool, Precondition | AnyOf | None]:
    """Key, whether the write is synchronous, condition. Raises Refused (400)."""
    key = key_from_path(environ["PATH_INFO"])
    sync = _parameters(environ.get("QUERY_STRING", ""))
    # As WSGI has them: Flask's own parser takes malformed conditions for absent ones.
    return key, sync, write_condition(environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH"))
