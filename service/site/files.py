"""Files that come with the service and are sent to browsers: whole, or 304 to a browser that has the file as it is."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path

from flask import request

from service.http.answers import REVALIDATE, Answer, parse_tags
from service.http.problems import Headers
from service.http.security_headers import SECURITY_HEADERS

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".yaml": "application/yaml",
}
"""By the end of a file's name."""


@cache  # of the few that have routes, 2 MB in all: a crowd that asks for one shares its bytes
def _read(file: Path) -> tuple[bytes, str]:
    """What is in the file, and its entity tag: read and hashed once, since it changes with a release only."""
    content = file.read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def answer_file(file: Path, more: Headers = ()) -> Answer:
    """The answer to the present request. Raises Refused (400) when its If-None-Match is malformed."""
    content, tag = _read(file)
    # On a 304, too: a browser takes them in place of those that it has.
    ours = (pair for pair in SECURITY_HEADERS if pair[0] not in dict(more))
    headers = (("ETag", tag), REVALIDATE, *ours, *more)
    offered = request.environ.get("HTTP_IF_NONE_MATCH")
    if offered is not None and parse_tags(offered, "If-None-Match").match_weakly(tag):
        return Answer(HTTPStatus.NOT_MODIFIED, headers)
    return Answer(HTTPStatus.OK, (("Content-Type", TYPES[file.suffix]), *headers), content)
