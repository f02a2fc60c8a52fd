"""The application: routes, errors and measurement put together. A pure factory: starts no thread and does no I/O."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from functools import cache as remember
from http import HTTPStatus
from typing import Any

import flask
from flask import Flask, current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from consistency import AsyncDistributedCache, DistributedCache
from metrics import Instruments
from service.auth.keyring import Keyring
from service.documents.routes import config_routes
from service.documents.writes import DocumentWrites
from service.fleet.addresses import address_of
from service.fleet.ops_routes import ops_routes
from service.fleet.proofs import Witness
from service.fleet.recent import Recent
from service.fleet.routes import fleet_routes
from service.fleet.states import state
from service.fleet.whole_fleet import WholeFleet, plain_read
from service.http.answers import answer_problem
from service.http.bodies import BodyReader
from service.http.door import Door, all_keys, keys_granted
from service.http.failures import answer_failure
from service.http.hit_path import UNKNOWN_ROUTE, HitPath, WsgiApplication
from service.http.hosts import hosts_of
from service.http.large_answers import LargeAnswers
from service.http.problems import NOT_DONE, Kind, Problem
from service.http.request_ids import HEADER as REQUEST_ID
from service.http.request_log import finish
from service.http.responses import Response, respond
from service.http.unread_bodies import UnreadBodies
from service.memory.capacity import Capacity
from service.settings.model import Settings
from service.site.docs_routes import docs_routes
from service.site.page_routes import page_routes


class RestOfPath(BaseConverter):
    """Everything that is left, whatever it is: what isn't a key is refused in words, not by "no such route"."""

    regex = r"[\s\S]+"
    part_isolating = False


class Application(Flask):
    """The WSGI application of one instance. `fleet`: what it asks of the others; to be closed on the cache's loop."""

    fleet: WholeFleet

    def __init__(self) -> None:
        super().__init__("service", static_folder=None)
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        # A path is taken as it is: a redirect would lead from one key to another.
        self.url_map.merge_slashes = False
        self.url_map.converters["rest"] = RestOfPath
        self._draining = threading.Event()

    def start_draining(self) -> None:
        """From now on /readyz answers 503; everything else goes on. May be called from any thread."""
        self._draining.set()

    @property
    def draining(self) -> bool:
        """Whether this instance is about to stop."""
        return self._draining.is_set()


def create_app(
    cache: DistributedCache,
    settings: Settings,
    instruments: Instruments,
    keyring: Keyring | None = None,
    recent: Recent | None = None,
    room: Capacity | None = None,
) -> Application:
    """The application over a cache that somebody else starts and closes. Without a keyring everybody is let in.

    recent: the last minutes, kept by somebody else; without it there are none to show. room: for what clients hold.
    """
    app = Application()
    app.before_request(_start_measuring)
    app.before_request(_check_request)
    app.after_request(_measurement(instruments))
    app.register_error_handler(HTTPException, _routing_error)
    app.register_error_handler(Exception, _error)
    reader = BodyReader(
        max_bytes=settings.max_value_bytes, threads=settings.threads, room=room.bodies if room else None
    )
    writes = DocumentWrites(cache, reader)
    prefix_of = all_keys if keyring is None else keys_granted
    app.register_blueprint(config_routes(cache, writes, reader, prefix_of, instruments.left_out))
    app.register_blueprint(ops_routes(cache.status, lambda: app.draining, instruments, settings.expected_instances))
    recent = recent or Recent(cache.status, instruments.totals)
    app.fleet = WholeFleet(
        cache.on_loop.status,
        _state_of(app, cache.on_loop, settings, instruments, recent),
        plain_read(cache.on_loop),
        expected=settings.expected_instances,
        keyring=keyring,
        observer=instruments.observe,
        askers=max(1, settings.threads // 4),
    )
    app.register_blueprint(fleet_routes(app.fleet, Witness(keyring, address_of(settings)), cache.do))
    app.register_blueprint(page_routes())
    app.register_blueprint(docs_routes())
    hosts = hosts_of(settings.host, settings.allowed_hosts, socket.gethostname())
    short = HitPath(app.wsgi_app, cache, writes, instruments)
    door: WsgiApplication = Door(short, hosts, keyring, instruments)
    # Outermost what goes on when the answer has been sent: whoever takes all of an answer first would wait for it.
    bounded = LargeAnswers(door, room.answers) if room else door
    app.wsgi_app = UnreadBodies(bounded, reader.places)  # type: ignore[method-assign]  # Flask's way to wrap it
    return app


def _state_of(
    app: Application, cache: AsyncDistributedCache, settings: Settings, instruments: Instruments, recent: Recent
) -> Callable[[bool], dict[str, Any]]:
    def now(with_recent: bool) -> dict[str, Any]:
        return state(
            cache.status(),
            instruments.totals(),
            bound=settings.cache_staleness_bound,
            draining=app.draining,
            recent=recent if with_recent else None,
        )

    return now


def _start_measuring() -> None:
    g.started = time.perf_counter()


def _check_request() -> None:
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound  # Flask takes it for the path with one slash
    if request.url_rule is not None and request.environ["REQUEST_METHOD"] != request.method:
        # Flask takes `put` for PUT, but methods are case-sensitive (RFC 9110, 9.1).
        raise MethodNotAllowed(current_app.url_map.bind("").allowed_methods(request.path))


def _measurement(instruments: Instruments) -> Callable[[flask.Response], flask.Response]:
    def measure(response: flask.Response) -> flask.Response:
        route = UNKNOWN_ROUTE if request.url_rule is None else template(request.url_rule.rule)
        seconds = time.perf_counter() - g.started
        instruments.http(request.method, route, response.status_code, seconds)
        revision = response.headers.get("X-Config-Revision", "")
        if identity := finish(
            request.environ,
            response.status_code,
            seconds,
            failure=g.get("failure"),
            revision=revision,
            keys=g.get("keys", ()),
        ):
            response.headers[REQUEST_ID] = identity
        return response

    return measure


@remember
def template(rule: str) -> str:
    """A route as people write it: `/config/<key>`, not `/config/<rest:key>`."""
    return re.sub(r"<\w+:", "<", rule)


def _error(error: Exception) -> Response:
    g.failure = error  # for its line in the log
    return respond(answer_failure(error, request.method, request.path))


def _routing_error(error: HTTPException) -> Response:
    """Flask's own refusals: no such route, or not with this method."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    allowed = sorted(error.valid_methods or ()) if isinstance(error, MethodNotAllowed) else []
    headers = (("Allow", ", ".join(allowed)),) if allowed else ()
    kind = Kind(status.name.lower().replace("_", "-"), status, status.phrase, NOT_DONE)
    return respond(answer_problem(Problem(kind, error.description or status.phrase, headers)))
