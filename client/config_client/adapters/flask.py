"""A Flask extension: the client starts with the application, and what one request reads is of one revision."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, g

from config_client.blocking import ConfigClient
from config_client.core.model import State
from config_client.errors import ConfigError
from config_client.memory import ABSENT, Snapshot

if TYPE_CHECKING:
    from config_client.testing import FakeConfig

NAME = "config_client"


class FlaskConfig:
    """`config = FlaskConfig()`, then `config.init_app(app)`; in views `config["limits"]`, `config.snapshot()`.

    The arguments of the client are those in `app.config["CONFIG_CLIENT"]`; or `init_app` is given a client, which it
    starts, unless it runs already. What it starts ends with the process, or by `close`.
    """

    def __init__(self, app: Flask | None = None, client: ConfigClient | FakeConfig | None = None) -> None:
        if app is not None:
            self.init_app(app, client)

    def init_app(self, app: Flask, client: ConfigClient | FakeConfig | None = None) -> None:
        """Start the client of this application. Raises ConfigError and StartFailed: an application without its
        configuration does not start.
        """
        if client is None:
            client = _made(app.config.get("CONFIG_CLIENT"))
        if not client.is_open:
            client.start()
            atexit.register(client.close)
        app.extensions[NAME] = client

    def close(self, app: Flask) -> None:
        """End the client of this application."""
        client = app.extensions.pop(NAME)
        atexit.unregister(client.close)
        client.close()

    @property
    def client(self) -> ConfigClient | FakeConfig:
        """The client of the current application: to be told of changes, and to write."""
        found: ConfigClient | FakeConfig | None = current_app.extensions.get(NAME)
        if found is None:
            raise ConfigError("this application has no client: call init_app(app) where it is made")
        return found

    @property
    def state(self) -> State:
        """As `ConfigClient.state`."""
        return self.client.state

    def snapshot(self) -> Snapshot:
        """Return all documents at one revision, the same one all through a request."""
        if NAME not in g:
            setattr(g, NAME, self.client.snapshot())
        snapshot: Snapshot = getattr(g, NAME)
        return snapshot

    def get(self, name: str, kind: Any = None, default: Any = ABSENT) -> Any:
        """As `ConfigClient.get`: from memory, the newest that its type could read."""
        return self.client.get(name, kind, default)

    def __getitem__(self, name: str) -> Any:
        return self.client[name]


def _made(given: Any) -> ConfigClient:
    if not isinstance(given, dict) or "urls" not in given:
        example = '{"urls": "http://127.0.0.1:8080", "prefix": "team/app/"}'
        raise ConfigError(f"app.config['CONFIG_CLIENT'] names the arguments of the client, for example {example}")
    return ConfigClient(**given)
