"""One connection of the network: two directions, in each of which messages keep their order, or wait.

Owns what is on its way, and how either end finds that it is over. Decides nothing of faults: it asks the network
whether the way is free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from simulation.etcd.errors import PING_TIMEOUT, SOCKET_CLOSED, Status
from simulation.way import Way

if TYPE_CHECKING:
    from simulation.network import Network

Deliver = Callable[[], object]

PING = (2.0, 8.0)
"""Seconds until a client finds that nothing comes back: at most 6 s of keepalive, then 2 s for the ping."""


class Server(Protocol):
    """What stands at the other end of connections."""

    name: str

    @property
    def running(self) -> bool:
        """Whether there is such a process; if not, connections are refused."""

    @property
    def paused(self) -> bool:
        """Whether it stands still: the machine takes connections for it, and it reads nothing."""


class Connection:
    """One TCP connection. `broken` are told, at the client, when and why it ended; `ended`, at the server."""

    def __init__(self, network: Network, number: int, client: str, server: Server, streams: bool) -> None:
        self.network = network
        self.number = number
        self.client = client
        self.server = server
        self.streams = streams
        self.stalled = False
        self.open = True
        self.broken: dict[int, Callable[[Status], object]] = {}
        self.ended: dict[int, Callable[[], object]] = {}
        self._there = Pipe(self, Way.TO_SERVER)
        self._back = Pipe(self, Way.TO_CLIENT)
        self._forgotten = False  # the server knows nothing of it, and the client thinks that it does
        self._left = False  # the client's process has ended
        self._ping: asyncio.TimerHandle | None = None

    def joins(self, client: str | None, server: str | None) -> bool:
        """Whether it is between these two; None: anybody."""
        return client in (None, self.client) and server in (None, self.server.name)

    def send(self, deliver: Deliver) -> None:
        """From the client to the server."""
        if self.open:
            self._there.send(deliver)

    def reply(self, deliver: Deliver) -> None:
        """From the server to the client."""
        if self.open and not self._left and not self._forgotten:
            self._back.send(deliver)

    def held(self, way: Way) -> bool:
        """Whether nothing arrives that way just now."""
        if way is Way.TO_SERVER:
            return self.server.paused or not self.network.passes(self.client, self.server.name, way)
        return self.stalled or not self.network.passes(self.client, self.server.name, way)

    @property
    def forgotten(self) -> bool:
        """Whether the server knows nothing of it, while the client thinks that it does."""
        return self._forgotten

    def deaf(self, way: Way) -> bool:
        """Whether what arrives that way is heard by nobody."""
        return self._forgotten if way is Way.TO_SERVER else self._left

    def look(self) -> None:
        """Something may have changed on the way."""
        self._there.flush()
        self._back.flush()
        names = self.client, self.server.name
        silent = self._forgotten or self.server.paused or not all(self.network.passes(*names, way) for way in Way)
        if not silent and self._ping is not None:
            self._ping.cancel()
            self._ping = None
        elif silent and self._ping is None and self.open:
            self._ping = self.network.after(self.network.random.uniform(*PING), self._give_up)

    def break_off(self, status: Status) -> None:
        """It ends at both ends; what is on its way is lost."""
        if not self.open:
            return
        self.open = False
        if self._ping is not None:
            self._ping.cancel()
        self.network.forget(self)
        broken, self.broken = self.broken, {}
        ended, self.ended = self.ended, {}
        if not self._left:
            for tell in broken.values():
                tell(status)
        for end in ended.values():
            end()

    def forget(self) -> None:
        """The server drops it."""
        self._forgotten = True
        self.forget_streams()
        self.look()

    def forget_streams(self) -> None:
        """The server drops those that are open, and the client is not told."""
        ended, self.ended = self.ended, {}
        for end in ended.values():
            end()

    def leave(self) -> None:
        """The client's process ends: the server sees it after all that was sent before, if the way is free."""
        self._left = True
        self._there.send(lambda: self.break_off(SOCKET_CLOSED))

    def _give_up(self) -> None:
        self._ping = None
        self.break_off(PING_TIMEOUT)


class Pipe:
    """One direction of a connection: messages in their order.

    Timers only say that one more may be delivered: whichever of them runs first, the first message is.
    """

    def __init__(self, connection: Connection, way: Way) -> None:
        self._connection = connection
        self._way = way
        self._queue: deque[Deliver] = deque()
        self._last = 0.0
        self._held = False

    def send(self, deliver: Deliver) -> None:
        """Deliver it later, after whatever was sent before."""
        self._queue.append(deliver)
        if not self._held:
            self._schedule()

    def flush(self) -> None:
        """The way may be free again: what was held arrives."""
        if self._held and not self._connection.held(self._way):
            self._held = False
            for _ in self._queue:
                self._schedule()

    def _schedule(self) -> None:
        network = self._connection.network
        self._last = max(self._last, network.now() + network.delay())
        network.at(self._last, self._arrive)

    def _arrive(self) -> None:
        connection = self._connection
        if not self._queue or not connection.open:
            return
        if connection.held(self._way):
            self._held = True
            return
        deliver = self._queue.popleft()
        if not connection.deaf(self._way):
            deliver()
