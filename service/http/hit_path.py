"""The short way to a document, in front of Flask, whose dispatch alone takes many times as long as a hit.

Owns nothing but the order in which things are tried. It answers what Flask would have answered, byte for byte: a hit
here and now, any other read of a document, and every write of one, by the same function as Flask's route. Whatever is
not plainly about one document is left to Flask.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from consistency import DistributedCache
from metrics import Instruments
from service.documents.reads import Environ, answer_read
from service.documents.writes import DocumentWrites
from service.http.answers import Answer, answer_reading, headers_for
from service.http.conditions import read_condition
from service.http.failures import answer_failure
from service.http.keys import ROOT
from service.http.request_ids import HEADER as REQUEST_ID
from service.http.request_log import finish
from service.http.sessions import UNKNOWN, revision_in

StartResponse = Callable[..., Any]
WsgiApplication = Callable[[Environ, StartResponse], Iterable[bytes]]
Wire = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers with the length of the body, body."""

ROUTE = "/config/<key>"
"""What these requests are counted under, as those that Flask answers."""

UNKNOWN_ROUTE = "unknown"
"""What is counted of those that no route is for."""

_READS = ("GET", "HEAD")
_METHODS = (*_READS, "PUT", "POST", "DELETE")
_PLAIN_QUERIES = ("", "use_cache=true")
_ONE_TAG = re.compile(r'"[0-9]{1,19}"', re.ASCII)
_OK, _FAILED = int(HTTPStatus.OK), int(HTTPStatus.INTERNAL_SERVER_ERROR)  # looked up, a noticeable part of a hit
STATUS_LINES = {code: f"{code} {phrase.upper()}" for code, phrase in HTTP_STATUS_CODES.items()}


class HitPath:
    """WSGI middleware: `app.wsgi_app = HitPath(app.wsgi_app, cache, writes, instruments)`."""

    def __init__(
        self, rest: WsgiApplication, cache: DistributedCache, writes: DocumentWrites, instruments: Instruments
    ) -> None:
        self._rest = rest
        self._cache = cache
        self._writes = writes
        self._instruments = instruments

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answers, or leaves it to Flask."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if method not in _METHODS or not path.startswith(ROOT) or path == ROOT:
            return self._rest(environ, start_response)
        started, reads, failure = time.perf_counter(), method in _READS, None
        try:
            if reads:
                status, headers, body = self._hit(environ, path) or to_wire(answer_read(self._cache, environ))
            elif method == "DELETE":
                status, headers, body = to_wire(self._writes.delete(environ))
            else:
                status, headers, body = to_wire(self._writes.put(environ))
        except Exception as error:  # noqa: BLE001  # as Flask's own handler
            failure = error
            status, headers, body = to_wire(answer_failure(error, method, path))
        seconds = time.perf_counter() - started
        self._instruments.http(method, ROUTE, status, seconds)
        # Most reads are spared the call: they have no line in the log, and bear an id only if the client sent one.
        if not reads or status >= _FAILED or "HTTP_X_REQUEST_ID" in environ:
            revision = next((value for name, value in headers if name == "X-Config-Revision"), "")
            if identity := finish(environ, status, seconds, failure=failure, revision=revision):
                headers.append((REQUEST_ID, identity))
        start_response(STATUS_LINES[status], headers)
        return [body] if body and method != "HEAD" else []

    def _hit(self, environ: Environ, path: str) -> Wire | None:
        """The answer from memory. None: there is none, or the request asks for more than is understood here."""
        tag = environ.get("HTTP_IF_NONE_MATCH")
        if environ["QUERY_STRING"] not in _PLAIN_QUERIES or "HTTP_IF_MATCH" in environ or not path.isascii():
            return None
        if tag is not None and not _ONE_TAG.fullmatch(tag):
            return None
        cookie = environ.get("HTTP_COOKIE")
        # The key needs no check: it would not be found if it had not passed that of `answer_read` before.
        key = path[len(ROOT) :]
        seen = 0 if cookie is None else revision_in(cookie, self._cache.known_fleet_id)
        reading = None if seen == UNKNOWN else self._cache.hit(key, seen)
        if reading is None:
            return None
        if reading.value is None or tag is not None:
            return to_wire(answer_reading(key, reading, read_condition(None, tag)))
        headers = headers_for(reading)
        headers.append(("Content-Length", str(len(reading.value))))
        return _OK, headers, reading.value


def to_wire(answer: Answer) -> Wire:
    """An answer as a server sends it."""
    headers = list(answer.headers)
    if answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers.append(("Content-Length", str(len(answer.body))))
    return int(answer.status), headers, answer.body
