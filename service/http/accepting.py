"""One Granian: accepts clients at an address, over plain HTTP or with one certificate, until it is told to stop.

Over TLS clients choose HTTP/2 or HTTP/1.1; over plain HTTP there is HTTP/1.1 alone. Behind the relay (`service.tls`),
where TLS has ended already, there are both, and whose a connection is comes with each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.embed import Server as Granian

from service.http.answers import CLOSE
from service.http.requests import Receive
from service.http.sending import Send
from service.process.listener import BACKLOG, BUFFER, listening
from service.process.logs import GRANIAN
from service.tls.client_certificates import SHOWN, ClientCertificate

LISTENS_WITHIN = 5.0

MAX_HEADER = 16 * 1024
"""Bytes of a request before its body; beyond: 431. A client in the middle of one may cost twice as many."""

STREAMS = 100
"""Requests under way over one connection of HTTP/2: what its standard takes for the least (RFC 9113, 6.5.2)."""

ASKED_EVERY = 30_000
"""Milliseconds between signs of life that are asked for over HTTP/2, where nothing else is said."""

Address = tuple[str, int]
Front = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
"""An ASGI application."""

Whose = Callable[[tuple[str, int | str] | None], ClientCertificate | None]
"""See `service.tls.inside.Inside.whose`."""


class ServerFailed(Exception):
    """The HTTP server has ended by itself, or never begun."""


class Accepting:
    """Belongs to one loop. hurry: set when there is no time to wait for idle clients."""

    def __init__(
        self,
        front: Front,
        address: Address,
        *,
        connections: int,
        tls: Collection[Path] = (),
        whose: Whose | None = None,
    ) -> None:
        """tls: files with a certificate, its key, and perhaps the authorities of clients; to be there until it has
        started. connections: that may be open at once. whose: of a connection from the relay, by where it comes from.
        """
        self.application = _Application(front, whose) if tls or whose else None
        self.hurry = asyncio.Event()
        self.inode = 0
        self._address = address
        self._stopped = False
        cert, key, client_ca = (*tls, None, None, None)[:3]
        self._granian = Granian(
            self.application or front,
            address=address[0],
            port=address[1],
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto if self.application else HTTPModes.http1,
            websockets=False,
            # The header timeout also ends idle connections, which routers keep for 90 s: as long as Granian lets us.
            http1_settings=HTTP1Settings(header_read_timeout=60_000, max_buffer_size=MAX_HEADER),
            http2_settings=HTTP2Settings(
                max_headers_size=MAX_HEADER,
                max_concurrent_streams=STREAMS,
                initial_connection_window_size=BUFFER,
                initial_stream_window_size=BUFFER,
                max_send_buffer_size=BUFFER,
                keep_alive_interval=ASKED_EVERY,
            ),
            backlog=BACKLOG,
            backpressure=connections,
            ssl_cert=cert,
            ssl_key=key,
            ssl_ca=client_ca,
            ssl_client_verify=client_ca is not None,
            ssl_protocol_min=SSLProtocols.tls12,
            log_dictconfig=GRANIAN,
            log_level=LogLevels.error,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self, beside: Collection[int], ended: Callable[[Accepting], object]) -> None:
        """Return when clients are accepted. Raises ServerFailed.

        beside: inodes of sockets that listen there already. ended: called when it has ended.
        """
        self._serving = asyncio.create_task(self._granian.serve(), name="http-server")
        self._serving.add_done_callback(lambda _: ended(self))
        inode = await listening(self._address, LISTENS_WITHIN, unless=self._serving.done, beside=beside)
        if self._serving.done():
            raise ServerFailed(self.why_it_ended())
        if inode is None:
            raise ServerFailed(f"nothing listens after {LISTENS_WITHIN:g} s")
        self.inode = inode

    @property
    def serving(self) -> asyncio.Task[None]:
        """What ends with it."""
        assert self._serving is not None, "it was started"
        return self._serving

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopped

    def stop(self) -> None:
        """Accept nobody any more, and let requests in flight be answered."""
        self.hurry.set()
        if not self._stopped:
            self._stopped = True
            self._granian.stop()  # type: ignore[no-untyped-call]  # Granian leaves it so

    def close_connections(self) -> None:
        """Let each of HTTP/1.1 end with its next answer."""
        if self.application:
            self.application.closes = True

    def why_it_ended(self) -> str:
        """In words."""
        error = None if self.serving.cancelled() else self.serving.exception()
        return f"it ended by itself: {type(error).__name__}: {error}" if error else "it ended by itself"


class _Application:
    """The front, for clients that are to connect anew once `closes` is set: elsewhere another certificate is shown."""

    def __init__(self, front: Front, whose: Whose | None) -> None:
        self._front = front
        self._whose = whose
        self.closes = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request. HTTP/2 has a word of its own for it, which Granian says when it is told to stop."""
        if self._whose is not None:
            scope[SHOWN] = self._whose(scope["client"])
        await self._front(scope, receive, _closing(send) if self.closes and scope["http_version"] != "2" else send)


def _closing(send: Send) -> Send:
    def send_and_close(message: dict[str, Any]) -> Awaitable[None]:
        if message["type"] == "http.response.start" and CLOSE not in message["headers"]:
            message = {**message, "headers": [*message["headers"], CLOSE]}
        return send(message)

    return send_and_close
