"""What the service says of itself: `/openapi.yaml`, and `/docs` to read and try it in a browser.

Everything the page needs comes from this instance: Swagger UI's files from the package that carries them, which is
never imported, and a page and a starter of our own, so that no script stands in the page itself.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, abort, request

from service.answers import REVALIDATE, Answer
from service.conditions import parse_tags
from service.problems import Headers
from service.responses import Response, respond
from service.security_headers import SECURITY_HEADERS

DESCRIPTION = Path(__file__).with_name("openapi.yaml")
_OURS = Path(__file__).with_name("docs")
_PACKAGE = "flask_swagger_ui"

POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
"""Styles alone may be inline: Swagger UI writes them into its elements."""

ASSETS = {
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


def docs_routes() -> Blueprint:
    """The routes. They know no state; files are read when they are asked for."""
    routes = Blueprint("docs", __name__)

    @routes.get("/openapi.yaml")
    def openapi() -> Response:
        return respond(_file(DESCRIPTION, "application/yaml"))

    @routes.get("/docs", strict_slashes=False)
    def docs() -> Response:
        return respond(_file(_OURS / "index.html", "text/html; charset=utf-8", (POLICY,)))

    @routes.get("/docs/<name>")
    def asset(name: str) -> Response:
        if name not in ASSETS:
            abort(HTTPStatus.NOT_FOUND)
        directory = _OURS if (_OURS / name).exists() else _swagger_ui()
        return respond(_file(directory / name, ASSETS[name]))

    return routes


def _swagger_ui() -> Path:
    """Where the package has its files."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        abort(HTTPStatus.NOT_FOUND, f"{_PACKAGE} is not installed; it is in requirements.txt.")
    return Path(spec.origin).parent / "dist"


def _file(file: Path, content_type: str, more: Headers = ()) -> Answer:
    """200, or 304 for a browser that has the file as it is. Raises Refused (400) when If-None-Match is malformed."""
    content = file.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    # On a 304, too: a browser takes them in place of those that it has.
    ours = (pair for pair in SECURITY_HEADERS if pair[0] not in dict(more))
    headers = (("ETag", tag), REVALIDATE, *ours, *more)
    offered = request.environ.get("HTTP_IF_NONE_MATCH")
    if offered is not None and parse_tags(offered, "If-None-Match").match_weakly(tag):
        return Answer(HTTPStatus.NOT_MODIFIED, headers)
    return Answer(HTTPStatus.OK, (("Content-Type", content_type), *headers), content)
