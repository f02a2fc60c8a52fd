"""`/config/…`: documents by key, their listing, and batches. Decides what is asked, asks the cache, words the answer.

Keeps no state. Everything is refused that can be before the cache is asked, and the body is received last of all.
"""

from __future__ import annotations

from flask import Blueprint, request

from consistency.cache import DistributedCache
from consistency.terms import MustBeAbsent, MustBeAt, Precondition, PreconditionFailed
from service import batches, bodies, parameters
from service.answers import Answer, answer_batch, answer_delete, answer_page, answer_put
from service.conditions import AnyOf, write_condition
from service.document_reads import answer_read
from service.keys import key_from_path
from service.problems import bad_request
from service.responses import Response, respond


def config_routes(cache: DistributedCache, reader: bodies.BodyReader) -> Blueprint:
    """The routes, over this cache."""
    routes = Blueprint("config", __name__)

    # The key that Flask found is not used: it has been decoded leniently.
    @routes.get("/config/<rest:key>")
    def read(key: str) -> Response:
        del key
        return respond(answer_read(cache, request.environ))

    @routes.route("/config/<rest:key>", methods=["PUT", "POST"])
    def put(key: str) -> Response:
        del key
        return respond(_put(cache, reader))

    @routes.delete("/config/<rest:key>")
    def delete(key: str) -> Response:
        del key
        return respond(_delete(cache))

    @routes.get("/config")  # or Flask would redirect
    @routes.get("/config/")
    def page() -> Response:
        asked = parameters.list_parameters(_query())
        return respond(answer_page(cache.page(asked.prefix, after=asked.after, limit=asked.limit)))

    @routes.post("/config")
    @routes.post("/config/")
    def batch() -> Response:
        return respond(_batch(cache, reader))

    return routes


def _put(cache: DistributedCache, reader: bodies.BodyReader) -> Answer:
    key = _key()
    sync = parameters.write_parameters(_query())
    condition = write_condition(*_conditions())
    document = reader.read(request.environ)
    written = cache.put(key, document, precondition=settle(condition, cache, key), sync=sync)
    return answer_put(key, document, written)


def _delete(cache: DistributedCache) -> Answer:
    key = _key()
    sync = parameters.write_parameters(_query())
    condition = write_condition(*_conditions())
    if isinstance(condition, MustBeAbsent):
        raise bad_request("invalid-condition", "If-None-Match: * allows a DELETE only of what does not exist.")
    return answer_delete(cache.delete(key, precondition=settle(condition, cache, key), sync=sync))


def _batch(cache: DistributedCache, reader: bodies.BodyReader) -> Answer:
    sync = parameters.write_parameters(_query())
    if _conditions() != (None, None):
        raise bad_request("invalid-condition", "The conditions of a batch are those of its operations, not headers.")
    changes = batches.changes_in(reader.read(request.environ, batches.MAX_DEPTH))
    try:
        return answer_batch(changes, cache.apply(changes, sync=sync))
    except PreconditionFailed as failed:
        raise batches.refused_by(failed, changes) from failed


def settle(condition: Precondition | AnyOf | None, cache: DistributedCache, key: str) -> Precondition | None:
    """One comparison for etcd's transaction. Several tags: the one that is current, read from etcd just now.

    Should the key change in between, the transaction refuses, as it would have done a moment later.
    Raises PreconditionFailed when none is current.
    """
    if not isinstance(condition, AnyOf):
        return condition
    current = cache.get(key, use_cache=False).mod_revision
    if current not in condition.revisions:
        raise PreconditionFailed(key, current)
    return MustBeAt(current)


def _key() -> str:
    return key_from_path(request.environ["PATH_INFO"])


def _query() -> str:
    return str(request.environ.get("QUERY_STRING", ""))


def _conditions() -> tuple[str | None, str | None]:
    """If-Match and If-None-Match as WSGI has them; Flask's own parser takes malformed ones for absent."""
    environ = request.environ
    return environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
