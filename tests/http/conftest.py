"""What answers requests, in this process and without a server, over a real cache on a real etcd.

Two ways lead to the same answers: the front, which is what the service's own server calls, and Flask with the door
before it, for every other. Tests ask the front, unless they say otherwise; `test_both_ways.py` compares the two.

`gateway` joins a fleet of its own for each test; `gateways` starts several that share one. The cache's bound is wide
where a test is about HTTP, so that a hit stays a hit on a slow machine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, TestResponse

from consistency import DistributedCache
from consistency.core.events import Observer
from consistency.core.store import Unavailable
from consistency.etcd.store import EtcdStore
from metrics import Instruments
from service.answering import Answering
from service.app import behind_door, routes_of
from service.auth import token_lists
from service.auth.keyring import Keyring
from service.auth.token_sources import TokenSource
from service.http.answers import cookie_of
from service.http.bridge import Bridge, MadeWhenAsked
from service.http.front import Front
from service.settings.model import Settings
from tests.support import asgi, contract
from tests.support.etcd import EtcdServer, wait_for

BOUND = 30.0


def pytest_itemcollected(item: pytest.Item) -> None:
    """All of this folder is about the service, whoever is let in to its etcd."""
    item.add_marker(pytest.mark.secured)


class CheckedClient(Client):
    """A client that takes no answer which openapi.yaml does not describe."""

    def open(self, *args: Any, **more: Any) -> TestResponse:
        """As `Client.open`. Raises AssertionError."""
        response = super().open(*args, **more)
        asked = response.request.environ  # its `path` has lost leading slashes
        method, path = asked["REQUEST_METHOD"], asked["PATH_INFO"]
        contract.check(method, path, response.status_code, dict(response.headers), response.data)
        return response


ANSWERS = 32 * 1024 * 1024
"""Bytes of large answers that may be under way."""


@dataclass(frozen=True)
class Gateway:
    """One instance without a server: what a server would call."""

    answering: Answering
    front: Front
    cache: DistributedCache
    prefix: str
    through_flask: bool = False

    @cached_property
    def app(self) -> Flask:
        """The same without the front: Flask, behind the same door."""
        return behind_door(self.answering, self.cache.do)

    @property
    def client(self) -> Client:
        """A client without cookies, so that every request stands for itself."""
        return CheckedClient(self._application, use_cookies=False)

    def browser(self) -> Client:
        """A client that keeps cookies."""
        return CheckedClient(self._application)

    @property
    def _application(self) -> Any:
        return self.app if self.through_flask else asgi.AsWsgi(self.front, self.cache.do)

    def session(self, revision: object) -> str:
        """The header Cookie of a client that has seen this."""
        return f"{cookie_of(self.cache.fleet_id())}={revision}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> TestResponse:
        """One request; `If_Match="*"` is the header If-Match."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, data=body, headers=given)

    def ask_raw(self, method: str, path: bytes, body: bytes = b"") -> TestResponse:
        """One request whose percent-decoded path is exactly these bytes."""
        raw = {"PATH_INFO": path.decode("latin-1")}
        return self.client.open("/", method=method, data=body, environ_overrides=raw)


StartGateway = Callable[..., Gateway]


def keyring(tokens: object) -> Keyring:
    """That of these tokens, as operators write them down."""
    return Keyring(TokenSource("a test", token_lists.from_list(tokens)))


def start_gateway(
    stack: ExitStack, etcd: EtcdServer, prefix: str, *, wait: bool = True, tokens: object = None, **settings: object
) -> Gateway:
    """A running instance that is closed with `stack`; `wait` until it may serve from memory."""
    chosen = Settings(**{"cache_staleness_bound": BOUND, **settings})  # type: ignore[arg-type]
    store = EtcdStore(etcd.config(prefix))
    instruments = Instruments()
    cache = DistributedCache(
        store, chosen.cache_options(), description='{"address": "127.0.0.1:8080"}', observer=instruments.observe
    )
    instruments.track(cache.status, chosen.cache_staleness_bound, chosen.expected_instances)
    stack.callback(cache.close)
    cache.start()
    if wait:
        wait_for(lambda: cache.status().fresh, what="the first proof of a member")
    answering = Answering(cache.asynchronous, chosen, instruments, keyring(tokens) if tokens else None)
    front = start_front(stack, answering, cache, instruments.observe)
    return Gateway(answering, front, cache, prefix)


def start_front(
    stack: ExitStack, answering: Answering, cache: DistributedCache, observer: Observer, *, answers: int = ANSWERS
) -> Front:
    """What a server calls, on the cache's loop; closed with `stack`. `answers`: bytes of large ones under way."""
    bridge = Bridge(MadeWhenAsked(lambda: routes_of(answering, cache.do).wsgi_app))
    front = Front(
        answering.door,
        answering.documents,
        answering.hits,
        answering.probes,
        answering.questions,
        answering.changes,
        answering.policies,
        answering.rollbacks,
        bridge,
        answers=answers,
        observer=observer,
    )
    stack.callback(lambda: _unless_closed(cache, answering.close()))
    stack.callback(lambda: _unless_closed(cache, front.close(1.0)))
    stack.callback(lambda: _unless_closed(cache, bridge.close(1.0)))
    return front


def _unless_closed(cache: DistributedCache, work: Coroutine[Any, Any, object]) -> None:
    with suppress(Unavailable):  # by the test
        cache.do(work)


_numbers = itertools.count()


@pytest.fixture
def gateways(etcd: EtcdServer) -> Iterator[StartGateway]:
    """Starts instances of one fleet."""
    prefix = f"/http-{next(_numbers)}"
    with ExitStack() as stack:
        yield lambda **settings: start_gateway(stack, etcd, prefix, **settings)


@pytest.fixture
def gateway(gateways: StartGateway) -> Gateway:
    """An instance alone in its fleet."""
    return gateways()


@pytest.fixture(scope="module")
def shared(etcd: EtcdServer) -> Iterator[Gateway]:
    """One for all examples of a property; keys are left behind."""
    with ExitStack() as stack:
        yield start_gateway(stack, etcd, f"/http-{next(_numbers)}")
