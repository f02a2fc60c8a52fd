"""The Flask application: every route, errors, and the door in front. A pure factory: starts no thread, does no I/O.

Tests and whoever embeds the service use it whole. In production the loop's front answers what most requests are about,
and Flask the rest (`service.http.bridge`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import cache as remember
from http import HTTPStatus
from typing import Any

import flask
from flask import Flask, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from consistency import DistributedCache
from metrics import Instruments
from service.answering import Answering
from service.auth.keyring import Keyring
from service.changes.routes import change_routes
from service.documents.routes import config_routes
from service.fleet.ops_routes import ops_routes
from service.fleet.routes import fleet_routes
from service.history.routes import history_routes
from service.http.answers import answer_problem, headers_of
from service.http.bridge import WsgiApplication
from service.http.door import FAILURE, ROUTE, UNKNOWN_ROUTE, Door
from service.http.failures import answer_failure
from service.http.problems import NOT_DONE, Kind, Problem, Refused
from service.http.requests import Environ
from service.http.responses import Response, Run, respond
from service.policy.routes import policy_routes
from service.settings.model import Settings
from service.site.docs_routes import docs_routes
from service.site.page_routes import page_routes


class RestOfPath(BaseConverter):
    """Everything that is left, whatever it is: what isn't a key is refused in words, not by "no such route"."""

    regex = r"[\s\S]+"
    part_isolating = False


def create_app(
    cache: DistributedCache, settings: Settings, instruments: Instruments, keyring: Keyring | None = None
) -> Flask:
    """The whole application over a cache that somebody else starts and closes. Without a keyring everybody is let in.

    For any WSGI server; how slowly a body may come is that server's to say.
    """
    return behind_door(Answering(cache.asynchronous, settings, instruments, keyring), cache.do)


def behind_door(answering: Answering, run: Run) -> Flask:
    """Every route, with the door in front. run: as of `routes_of`."""
    app = routes_of(answering, run)
    app.wsgi_app = WsgiDoor(app.wsgi_app, answering.door)  # type: ignore[method-assign]  # Flask's way to wrap it
    return app


def routes_of(answering: Answering, run: Run) -> Flask:
    """Every route, without the door. run: has something done on the instance's loop, and returns the result."""
    app = Flask("service", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    # A path is taken as it is: a redirect would lead from one key to another.
    app.url_map.merge_slashes = False
    app.url_map.converters["rest"] = RestOfPath
    app.before_request(_check_request)
    app.after_request(_note_route)
    app.register_error_handler(HTTPException, _routing_error)
    app.register_error_handler(Exception, _error)
    app.register_blueprint(config_routes(answering.documents, run))
    app.register_blueprint(policy_routes(answering.policies, run))
    app.register_blueprint(history_routes(answering.histories, answering.rollbacks, run))
    app.register_blueprint(change_routes(answering.changes, run))
    app.register_blueprint(ops_routes(answering, run))
    app.register_blueprint(fleet_routes(answering, run))
    app.register_blueprint(page_routes())
    app.register_blueprint(docs_routes())
    return app


class WsgiDoor:
    """WSGI middleware: the door in front of a WSGI application."""

    def __init__(self, rest: WsgiApplication, door: Door) -> None:
        self._rest = rest
        self._door = door

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Let the request through, or answer it."""
        started = time.perf_counter()

        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            more = self._door.leave(environ, int(status[:3]), headers, started)
            return start_response(status, [*headers, *more], *error)

        try:
            self._door.admit(environ)
        except Refused as refused:
            environ[FAILURE] = refused
            answer = answer_problem(refused.problem)
            phrase = HTTPStatus(answer.status).phrase.upper()
            begin(f"{int(answer.status)} {phrase}", headers_of(answer))
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]
        return self._rest(environ, begin)


def _check_request() -> None:
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound  # Flask takes it for the path with one slash
    if request.url_rule is not None and request.environ["REQUEST_METHOD"] != request.method:
        # Flask takes `put` for PUT, but methods are case-sensitive (RFC 9110, 9.1).
        raise MethodNotAllowed(current_app.url_map.bind("").allowed_methods(request.path))


def _note_route(response: flask.Response) -> flask.Response:
    """For the door, which counts the answer."""
    request.environ[ROUTE] = UNKNOWN_ROUTE if request.url_rule is None else template(request.url_rule.rule)
    return response


@remember
def template(rule: str) -> str:
    """A route as people write it: `/config/<key>`, not `/config/<rest:key>`."""
    return re.sub(r"<\w+:", "<", rule)


def _error(error: Exception) -> Response:
    request.environ[FAILURE] = error
    return respond(answer_failure(error, request.method, request.path))


def _routing_error(error: HTTPException) -> Response:
    """Flask's own refusals: no such route, or not with this method."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    allowed = sorted(error.valid_methods or ()) if isinstance(error, MethodNotAllowed) else []
    headers = (("Allow", ", ".join(allowed)),) if allowed else ()
    kind = Kind(status.name.lower().replace("_", "-"), status, status.phrase, NOT_DONE)
    return respond(answer_problem(Problem(kind, error.description or status.phrase, headers)))
