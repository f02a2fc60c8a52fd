"""Serves one instance with Granian, in the process's own loop, until it is told to stop.

One process: the loop, Granian's thread for the connections, Flask's, the log's, and (as a child) the embedded etcd.
Order at the end: readiness off, wait for the load balancer if asked to, no new connections, requests in flight.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server as Granian

from service.http.front import Front
from service.process.listener import BACKLOG, listening
from service.process.logs import GRANIAN
from service.workers.shared_port import SharedPort

DRAIN_WITHIN = 6.0
"""Seconds for requests in flight to be answered; none takes longer unless its client is slow or hangs."""

LISTENS_WITHIN = 5.0
LOOK = 0.01
"""Seconds between looks at the requests that are still in flight."""

MAX_HEADER = 16 * 1024
"""Bytes of a request before its body; beyond: 431. A client in the middle of one may cost twice as many."""


class ServerFailed(Exception):
    """The HTTP server has ended by itself, or never begun."""


class Server:
    """Granian on a port that is reserved (`service.process.listener.reserve`)."""

    def __init__(self, front: Front | SharedPort, held: socket.socket, *, connections: int) -> None:
        """`connections`: that may be open at once."""
        self._front = front
        self._address: tuple[str, int] = held.getsockname()[:2]
        self._granian = Granian(
            front,
            address=self._address[0],
            port=self._address[1],
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            # The header timeout also ends idle connections, which routers keep for 90 s: as long as Granian lets us.
            http1_settings=HTTP1Settings(header_read_timeout=60_000, max_buffer_size=MAX_HEADER),
            backlog=BACKLOG,
            backpressure=connections,
            log_dictconfig=GRANIAN,
            log_level=LogLevels.error,
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when clients are accepted. Raises ServerFailed."""
        self._serving = asyncio.create_task(self._granian.serve(), name="http-server")
        listens = await listening(self._address, LISTENS_WITHIN, unless=self._serving.done)
        if self._serving.done():
            raise ServerFailed(_why_it_ended(self._serving))
        if not listens:
            raise ServerFailed(f"nothing listens after {LISTENS_WITHIN:g} s")

    async def ended(self) -> None:
        """Return when the server has ended by itself, which it never should. Raises ServerFailed then."""
        assert self._serving is not None, "it was started"
        await asyncio.wait((self._serving,))
        raise ServerFailed(_why_it_ended(self._serving))

    def refuse(self) -> None:
        """Accept nobody any more."""
        self._granian.stop()  # type: ignore[no-untyped-call]  # Granian leaves it so

    async def stop(self, within: float) -> bool:
        """Accept nobody any more, and let requests in flight be answered; whether all were within so many seconds."""
        assert self._serving is not None, "it was started"
        loop = asyncio.get_running_loop()
        self.refuse()
        deadline = loop.time() + within
        while self._front.under_way and loop.time() < deadline:
            await asyncio.sleep(LOOK)
        _, late = await asyncio.wait((self._serving,), timeout=max(LOOK, deadline - loop.time()))
        if late:
            loop.set_exception_handler(_hear_granian_out)
        return not self._front.under_way


def _hear_granian_out(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave unsaid what Granian says too late: 1. a request hangs; 2. its time is up, and the task that serves is
    cancelled with all others; 3. Granian ends, and tells so to what that task waited for.
    """
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def _why_it_ended(serving: asyncio.Task[None]) -> str:
    error = None if serving.cancelled() else serving.exception()
    return f"it ended by itself: {type(error).__name__}: {error}" if error else "it ended by itself"
