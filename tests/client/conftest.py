"""Both shells, and servers that do as they are told."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import trustme

from config_client import ConfigClient
from tests.client.both_shells import OnALoop
from tests.client.scripted_server import ScriptedServer

Made = Any
"""A `ConfigClient`, or an `AsyncConfigClient` that is used as one."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """One server."""
    with ScriptedServer() as made:
        yield made


@pytest.fixture
def other() -> Iterator[ScriptedServer]:
    """Another."""
    with ScriptedServer() as made:
        yield made


@pytest.fixture
def authority() -> trustme.CA:
    """Vouches for `secured`."""
    return trustme.CA()


@pytest.fixture
def secured(authority: trustme.CA) -> Iterator[ScriptedServer]:
    """One that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedServer(context) as server:
        yield server


@pytest.fixture(params=["blocking", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Made]]:
    """Makes clients of one kind, closed afterwards."""
    with ExitStack() as stack:

        def made(*arguments: Any, **more: Any) -> Made:
            options = {"trust_env": False, **more}
            client: Made = (
                ConfigClient(*arguments, **options) if request.param == "blocking" else OnALoop(*arguments, **options)
            )
            stack.callback(client.close)
            return client

        yield made
