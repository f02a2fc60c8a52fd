"""What the service says of itself: `/openapi.yaml`, and `/docs` to read and try it in a browser.

Everything the page needs comes from this instance: Swagger UI's files from the package that carries them, which is
never imported, and a page and a starter of our own, so that no script stands in the page itself.
"""

from __future__ import annotations

from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, abort

from service.http.responses import Response, respond
from service.site.files import answer_file

DESCRIPTION = Path(__file__).with_name("openapi.yaml")
_OURS = Path(__file__).with_name("docs")
_PACKAGE = "flask_swagger_ui"

POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""Nothing inline; Swagger UI's stylesheet has its pictures in itself."""

ASSETS = frozenset({"start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})


def docs_routes() -> Blueprint:
    """The routes. They know no state; a file is read when it is first asked for."""
    routes = Blueprint("docs", __name__)

    @routes.get("/openapi.yaml")
    def openapi() -> Response:
        return respond(answer_file(DESCRIPTION))

    @routes.get("/docs", strict_slashes=False)
    def docs() -> Response:
        return respond(answer_file(_OURS / "index.html", (POLICY,)))

    @routes.get("/docs/<name>")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            abort(HTTPStatus.NOT_FOUND)
        directory = _OURS if (_OURS / name).exists() else _swagger_ui()
        return respond(answer_file(directory / name))

    return routes


def _swagger_ui() -> Path:
    """Where the package has its files."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        abort(HTTPStatus.NOT_FOUND, f"{_PACKAGE} is not installed; it is in requirements.txt.")
    return Path(spec.origin).parent / "dist"
