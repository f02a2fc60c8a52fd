"""Serves one instance behind the relay, which ends TLS and knows whose certificate each connection has shown.

Granian listens on this machine alone, over plain HTTP, at a port that nobody has to know. With a renewed certificate:

    1. Another Granian begins, at another port. New connections are shown the new certificate, and lead there.
    2. Those to the earlier one go on. The next answer over HTTP/1.1 ends the connection, and says so.
    3. After a while the earlier one is told to stop: over HTTP/2 it says so, and what is under way is answered.

The public port is the relay's all the while, so the kernel has nothing to hand over.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from consistency.tasks import within as within_seconds
from service.http.accepting import Accepting, ServerFailed
from service.http.server import SEEN_OFF_AFTER, Server
from service.process.listener import reserve
from service.process.open_files import HANDSHAKES
from service.process.startup import StartupError
from service.tls.contexts import server_context
from service.tls.relay import Relay
from service.tls.shown import Material

HERE = "127.0.0.1"


class RelayedServer(Server):
    """The same as `Server`, with `material` whose client_ca vouches for names."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._relay = Relay(self._address, connections=self._connections, silent=min(HANDSHAKES, self._connections))
        self._ports: dict[Accepting, socket.socket] = {}
        self._fault: BaseException | None = None

    async def start(self) -> None:
        """Return when clients are accepted. Raises ServerFailed."""
        assert self._material is not None, "HTTPS is spoken"
        try:
            context = server_context(self._material)
            self._current, server = await self._begin()
            self._relay.start(context, server, self._hear)
        except OSError as error:
            raise ServerFailed(f"{type(error).__name__}: {error.strerror}") from None

    async def ended(self) -> None:
        """See `Server.ended`."""
        await self._bell.wait()
        if self._fault is not None:
            raise ServerFailed(f"no client is accepted any more: {type(self._fault).__name__}: {self._fault}")
        await super().ended()

    def refuse(self) -> None:
        """Accept nobody any more."""
        self._relay.stop()
        super().refuse()

    async def stop(self, within: float) -> bool:
        """See `Server.stop`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        in_time = await super().stop(within)
        await self._relay.end(max(0.0, deadline - loop.time()))
        for held in self._ports.values():
            held.close()
        return in_time

    def _hear(self, fault: BaseException) -> None:
        self._fault = fault
        self._bell.set()

    async def _renew(self, material: Material) -> None:
        """See `Server._renew`."""
        self._check_earlier()
        context = await asyncio.to_thread(server_context, material)
        later, server = await self._begin()
        try:
            self._check_not_ending()
            self._relay.switch(context, server)
        except BaseException:
            self._give_up(later)
            raise
        earlier = self._replace_by(later)
        self._keep(earlier, self._see_off_inside(earlier))

    async def _see_off_inside(self, earlier: Accepting) -> None:
        """Let its clients leave by themselves."""
        earlier.close_connections()
        await within_seconds(earlier.hurry, SEEN_OFF_AFTER)

    def _forget(self, earlier: Accepting) -> None:
        self._ports.pop(earlier).close()
        super()._forget(earlier)

    async def _begin(self) -> tuple[Accepting, tuple[str, int]]:
        """One more, at a port of its own, and where that is. Raises ServerFailed."""
        try:
            held = reserve(HERE, 0)
        except StartupError as error:
            raise ServerFailed(str(error)) from None
        address: tuple[str, int] = held.getsockname()[:2]
        begun = Accepting(self._front, address, connections=self._connections, whose=self._relay.inside.whose)
        self._ports[begun] = held
        try:
            await begun.start((), self._tell)
        except BaseException:
            self._give_up(begun)
            raise
        return begun, address

    def _give_up(self, begun: Accepting) -> None:
        begun.stop()
        self._ports.pop(begun).close()
