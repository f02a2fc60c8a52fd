"""`/config/…`: documents by key, their listing, and batches. Decides what is asked, asks the cache, words the answer.

Keeps no state. Everything is refused that can be before the cache is asked, and the body is received last of all.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, g, request

from consistency import DistributedCache
from consistency.core.model import PreconditionFailed
from service.auth import access
from service.auth.tokens import Scope
from service.documents import batches
from service.documents.listings import listing
from service.documents.reads import Environ, answer_read
from service.documents.writes import DocumentWrites
from service.http import parameters
from service.http.answers import Answer, answer_batch, answer_page
from service.http.bodies import BodyReader
from service.http.problems import bad_request
from service.http.responses import Response, respond


def config_routes(
    cache: DistributedCache,
    writes: DocumentWrites,
    reader: BodyReader,
    prefix_of: Callable[[Environ], str],
    left_out: Callable[[int], None],
) -> Blueprint:
    """The routes, over this cache. `prefix_of`: with what the keys start that a request may be about.

    left_out: is told how many keys a listing can't show.
    """
    routes = Blueprint("config", __name__)

    # The key that Flask found is not used: it has been decoded leniently.
    @routes.get("/config/<rest:key>")
    def read(key: str) -> Response:
        del key
        return respond(answer_read(cache, request.environ))

    @routes.route("/config/<rest:key>", methods=["PUT", "POST"])
    def put(key: str) -> Response:
        del key
        return respond(writes.put(request.environ))

    @routes.delete("/config/<rest:key>")
    def delete(key: str) -> Response:
        del key
        return respond(writes.delete(request.environ))

    @routes.get("/config")  # or Flask would redirect
    @routes.get("/config/")
    def page() -> Response:
        asked = parameters.list_parameters(_query())
        # One prefix within the other is one range: a page is full, and ends, as if there were no other keys.
        prefix = access.narrowed(asked.prefix, prefix_of(request.environ))
        found = listing(cache.page(prefix, after=asked.after, limit=asked.limit))
        left_out(found.left_out)
        return respond(answer_page(found))

    @routes.post("/config")
    @routes.post("/config/")
    def batch() -> Response:
        return respond(_batch(cache, reader, prefix_of(request.environ)))

    return routes


def _batch(cache: DistributedCache, reader: BodyReader, prefix: str) -> Answer:
    sync = parameters.write_parameters(_query())
    if _conditions() != (None, None):
        raise bad_request("invalid-condition", "The conditions of a batch are those of its operations, not headers.")
    with reader.reading(request.environ, batches.MAX_DEPTH) as body:
        changes = batches.changes_in(body)
        g.keys = [change.key for change in changes]  # for its line in the log
        for change in changes:
            access.check_key(change.key, prefix, Scope.WRITE)
        try:
            fleet = cache.fleet_id()
            return answer_batch(changes, cache.apply(changes, sync=sync), fleet)
        except PreconditionFailed as failed:
            raise batches.refused_by(failed, changes) from failed


def _query() -> str:
    return str(request.environ.get("QUERY_STRING", ""))


def _conditions() -> tuple[str | None, str | None]:
    """If-Match and If-None-Match as WSGI has them; Flask's own parser takes malformed ones for absent."""
    environ = request.environ
    return environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
