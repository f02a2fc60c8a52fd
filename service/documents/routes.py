"""`/config/…` as Flask's routes: documents by key, their listing, and batches. Adapters, nothing else."""

from __future__ import annotations

from flask import Blueprint, request

from service.documents.documents import Documents
from service.http.requests import Body, whole_body
from service.http.responses import Response, Run, respond


def config_routes(documents: Documents, run: Run) -> Blueprint:
    """The routes. run: has something done on the loop of the documents' cache, and returns the result."""
    routes = Blueprint("config", __name__)

    # The key that Flask found is not used: it has been decoded leniently.
    @routes.get("/config/<rest:key>")
    def read(key: str) -> Response:
        del key
        return respond(run(documents.read(request.environ)))

    @routes.route("/config/<rest:key>", methods=["PUT", "POST"])
    def put(key: str) -> Response:
        del key
        return respond(run(documents.put(request.environ, _body())))

    @routes.delete("/config/<rest:key>")
    def delete(key: str) -> Response:
        del key
        return respond(run(documents.delete(request.environ)))

    @routes.get("/config")  # or Flask would redirect
    @routes.get("/config/")
    def page() -> Response:
        return respond(run(documents.page(request.environ)))

    @routes.post("/config")
    @routes.post("/config/")
    def batch() -> Response:
        return respond(run(documents.batch(request.environ, _body())))

    def _body() -> Body:
        return whole_body(request.environ, documents.expected_body(request.environ))

    return routes
