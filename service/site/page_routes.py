"""`/`: the fleet page, for operators. Its files, and nothing that is stored: the page asks for that as anybody would.

No script or style stands in the page itself, and everything comes from this instance, so the policy can be strict.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from flask import Blueprint, abort

from service.http.responses import Response, respond
from service.site.files import answer_file

FILES = Path(__file__).with_name("page")
_INDEX = "index.html"
ASSETS = frozenset(file.name for file in FILES.iterdir()) - {_INDEX}

POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
)
"""The last two: no text, a document's least of all, can become markup."""


def page_routes() -> Blueprint:
    """The routes. They know no state; a file is read when it is first asked for."""
    routes = Blueprint("page", __name__)

    @routes.get("/", strict_slashes=False)  # an empty path is no reason to redirect
    def front_page() -> Response:
        return respond(answer_file(FILES / _INDEX, (POLICY,)))

    @routes.get("/page/<name>")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            abort(HTTPStatus.NOT_FOUND)
        return respond(answer_file(FILES / name))

    return routes
