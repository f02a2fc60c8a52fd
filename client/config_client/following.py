"""Follows the changes on a thread of its own: connects, reads, persists, publishes, as the feed decides.

Owns the thread and the connection. `close` wakes it wherever it waits, and joins it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from config_client.connection import Connection, failure_of, headers_of, lowered
from config_client.core import requests
from config_client.core.answers import MOST_READ
from config_client.core.calls import Attempt
from config_client.core.feed import Connect, Feed, Pause
from config_client.core.replica import Update
from config_client.errors import ConfigError

log = logging.getLogger("config_client")


class Follower:
    """See the module's opening. apply: persists and publishes an update; it may take its time."""

    def __init__(
        self,
        feed: Feed,
        connection: Connection,
        prefix: str,
        *,
        clock: Callable[[], float],
        apply: Callable[[Update], None],
        moved: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._connection = connection
        self._prefix = prefix
        self._clock = clock
        self._apply = apply
        self._moved = moved  # called whenever an attempt has ended
        self._closing = threading.Event()
        self._sockets: list[socket.socket] = []  # at most one that is alive
        self._thread = threading.Thread(target=self._run, name="config-client", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, within: float) -> bool:
        """End it; return whether it has ended in time."""
        self._closing.set()
        for each in list(self._sockets):
            with contextlib.suppress(OSError):  # it has ended by itself
                each.shutdown(socket.SHUT_RDWR)
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # One connection at a time, and none is used twice: so the last socket is the one to be shut down.
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        options = self._connection.http_options(read=self._connection.silence)
        with httpx.Client(limits=limits, **options) as http:
            while not self._closing.is_set():
                step = self._feed.next(self._clock())
                if isinstance(step, Pause):
                    self._closing.wait(step.seconds)
                    continue
                try:
                    self._follow(http, step)
                except Exception as error:
                    log.exception("following the changes has failed; it goes on")
                    self._feed.abandon(f"a fault of the client: {error!r}", self._clock())
                self._moved()

    def _follow(self, http: httpx.Client, step: Connect) -> None:
        try:
            why = self._stream(http, step)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = failure_of(error).why
        except ConfigError as error:
            why = str(error)
        if why is not None:
            self._feed.ended(why, self._clock())

    def _stream(self, http: httpx.Client, step: Connect) -> str | None:
        """Return why the connection has ended, unless the feed knows."""
        request = requests.stream(self._prefix, step.after)
        headers = headers_of(Attempt(step.url, request, self._connection.read_token()))
        with http.stream(
            "GET", step.url + request.target, headers=headers, extensions={"trace": self._note_socket}
        ) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip()
            if response.status_code != 200 or kind != "text/event-stream":
                body = b""
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MOST_READ:
                        break
                self._feed.refused(response.status_code, lowered(response), body, self._clock())
                return None
            self._feed.opened()
            for chunk in response.iter_bytes():
                update = self._feed.received(chunk, self._clock())
                if update is not None:
                    self._apply(update)
                    self._feed.applied(update)
                if self._feed.is_over or self._closing.is_set():
                    break
        return "closed by the other side"

    def _note_socket(self, name: str, info: Mapping[str, Any]) -> None:
        """httpcore tells what it does: the socket is all that another thread can end a read by."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._sockets[:] = [info["return_value"].get_extra_info("socket")]
            # 1. We connect; 2. `close` finds no socket; 3. we would read for as long as silence is borne.
            if self._closing.is_set():
                with contextlib.suppress(OSError):
                    self._sockets[0].shutdown(socket.SHUT_RDWR)
