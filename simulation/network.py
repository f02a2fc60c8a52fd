"""The network between the instances and etcd: connections over which messages take time, wait, or are lost.

Owns the connections, their delays, and every fault of the way. Within one direction of one connection messages keep
their order, as TCP's do; those of different connections overtake each other as chance will have it. What is cut off is
not told so: messages wait at the cut for the way to heal, until a side gives the connection up.

    network.latency = (0.0005, 0.01)       # seconds that a message takes, at least and at most, mostly near the least;
                                           # between members: cluster.raft.latency
    network.lost_before = 0.01             # chance that a call is lost on its way there, and never executed
    network.lost_after = 0.01              # chance that a call is executed, and its answer lost
    network.broken_answers["i-1"] = 0.5    # … of the calls of one client, who hears at once that it broke
    network.isolate("i-1", "etcd-0")       # nothing passes, in either direction; nobody is told
    network.isolate("i-1", "etcd-0", Way.TO_SERVER)    # requests don't arrive, what comes from there does
    network.isolate("i-1")                 # from every server
    network.stall("i-1", "etcd-0")         # open streams stay open and bring nothing more, until `heal`
    network.mute("i-1", "etcd-0")          # … for good, as when something between them has lost these streams
    network.half_open("i-1", "etcd-0")     # the server has forgotten the connections; the client finds out in seconds
    network.reset("i-1", "etcd-0")         # the connections break at once, and what is under way with them
    network.heal()                         # undoes `isolate` and `stall`
    network.holding.add("i-1")             # answers to its reads are made, and leave at `let_go`: others overtake them
    network.holding_writes.add("i-1")      # … answers to what it writes
    network.vanish("i-1")                  # the client's process is killed: what it sent may still arrive

Servers and clients are told by their names. Time comes from the running loop alone, all chance from the `random`
given. A timer of the network runs in the context in which the network was made, never in that of who sends, so that
messages go on when whoever sent them is held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from random import Random
from typing import Any

from simulation.connection import Connection, Server
from simulation.etcd.errors import CONNECTION_REFUSED, CONNECTION_SILENT, SOCKET_CLOSED, Status
from simulation.way import Way

__all__ = ["Connection", "Network", "Server", "drawn"]

CONNECT_TIMEOUT = 2.0
"""Seconds after which a client gives an attempt to connect up (gRPC's `min_reconnect_backoff_ms`)."""

RECONNECT = (0.2, 0.5)
"""Seconds for which an endpoint that could not be reached counts as refusing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to connect. life: how often the client had been killed before."""

    client: str
    server: str
    streams: bool
    done: Callable[[Connection | Status], None]
    since: float
    life: int


def drawn(latency: tuple[float, float], random: Random) -> float:
    """Seconds between the least and the most, mostly near the least."""
    least, most = latency
    return least + (most - least) * random.random() ** 4


class Network:
    """See the module's opening. Made on the loop."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.latency = (0.0005, 0.01)
        self.lost_before = 0.0
        self.lost_after = 0.0
        self.holding = set[str]()
        self.holding_writes = set[str]()
        self.held: list[Callable[[], object]] = []
        self.broken_answers: dict[str, float] = {}
        self._context = copy_context()
        self._loop = asyncio.get_running_loop()
        self._servers: dict[str, Server] = {}
        self._connections: dict[int, Connection] = {}
        self._number = 0
        self._cut: dict[tuple[str, str, Way], None] = {}
        self._lives: dict[str, int] = {}  # of clients that have been killed: how often

    # --- faults

    def let_go(self) -> None:
        """Send the answers that were held, and hold none any more."""
        self.holding.clear()
        self.holding_writes.clear()
        held, self.held = self.held, []
        for send in held:
            send()

    def isolate(self, client: str, server: str | None = None, way: Way | None = None) -> None:
        """Let nothing pass between them (None: any server, both ways), until `heal`."""
        for name in self._names(server):
            for each in Way:
                if way is None or way is each:
                    self._cut[client, name, each] = None
        self._look(client, server)

    def heal(self, client: str | None = None, server: str | None = None) -> None:
        """Undo `isolate` and `stall`; None: for all. What waits at the cut arrives, unless it was given up."""
        for cut in list(self._cut):
            if client in (None, cut[0]) and server in (None, cut[1]):
                del self._cut[cut]
        for connection in self._between(client, server):
            connection.stalled = False
            connection.look()

    def stall(self, client: str | None = None, server: str | None = None) -> None:
        """The streams of these connections bring nothing more, though pings are answered: a watch falls silent."""
        for connection in self._between(client, server):
            connection.stalled = connection.streams

    def mute(self, client: str | None = None, server: str | None = None) -> None:
        """The streams that are open bring nothing more, for good, and are not closed; new ones do."""
        for connection in self._between(client, server):
            connection.forget_streams()

    def half_open(self, client: str | None = None, server: str | None = None, *, streams_only: bool = True) -> None:
        """The server forgets these connections, and the client is not told."""
        for connection in self._between(client, server):
            if connection.streams or not streams_only:
                connection.forget()

    def reset(self, client: str | None = None, server: str | None = None, *, streams_only: bool = False) -> None:
        """These connections break, at both ends."""
        for connection in self._between(client, server):
            if connection.streams or not streams_only:
                connection.break_off(SOCKET_CLOSED)

    def vanish(self, client: str) -> None:
        """The client's process is killed. What is on its way to servers arrives, and then they see the end."""
        self._lives[client] = self._lives.get(client, 0) + 1
        for connection in self._between(client, None):
            connection.leave()

    # --- for servers

    def serve(self, server: Server) -> None:
        """From now on there is this server."""
        self._servers[server.name] = server

    def changed(self, server: Server) -> None:
        """It was paused, or has resumed."""
        self._look(None, server.name)

    def killed(self, server: Server) -> None:
        """Its process has ended: its connections break, for clients who can be told; not those it had forgotten."""
        for connection in self._between(None, server.name):
            knew = not connection.forgotten
            connection.forget()
            if knew and self.passes(connection.client, server.name, Way.TO_CLIENT):
                connection.break_off(SOCKET_CLOSED)

    # --- for channels

    def connect(self, client: str, server: str, *, streams: bool, done: Callable[[Connection | Status], None]) -> None:
        """Attempt to connect; `done` is told the connection, or why there is none, within CONNECT_TIMEOUT."""
        attempt = Attempt(client, server, streams, done, self._loop.time(), self._lives.get(client, 0))
        self.after(2 * self.delay(), self._attempt, attempt)

    def _attempt(self, attempt: Attempt) -> None:
        client, server, done = attempt.client, attempt.server, attempt.done
        if self._lives.get(client, 0) != attempt.life:
            return  # nobody is there who would be told
        host = self._servers.get(server)
        reaches = all(self.passes(client, server, way) for way in Way)
        if reaches and (host is None or not host.running):
            done(CONNECTION_REFUSED)
        elif reaches and host is not None and not host.paused:
            self._number += 1
            made = self._connections[self._number] = Connection(self, self._number, client, host, attempt.streams)
            done(made)
        elif self._loop.time() - attempt.since < CONNECT_TIMEOUT:
            self.after(0.1, self._attempt, attempt)
        else:
            done(CONNECTION_SILENT)

    def passes(self, client: str, server: str, way: Way) -> bool:
        """Whether the way is free."""
        return (client, server, way) not in self._cut

    def breaks_an_answer(self, client: str) -> bool:
        """Whether an answer that is sent to it now is lost, and it hears so."""
        return self.random.random() < self.broken_answers.get(client, 0.0)

    def delay(self) -> float:
        """Seconds that a message takes."""
        return drawn(self.latency, self.random)

    def after(self, seconds: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call it later, in the network's own context."""
        return self._loop.call_later(seconds, call, *arguments, context=self._context)

    def at(self, when: float, call: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call it at the loop's `when`, in the network's own context."""
        return self._loop.call_at(when, call, *arguments, context=self._context)

    def now(self) -> float:
        """The loop's seconds."""
        return self._loop.time()

    def forget(self, connection: Connection) -> None:
        """It is over."""
        self._connections.pop(connection.number, None)

    def _names(self, server: str | None) -> list[str]:
        return [server] if server is not None else list(self._servers)

    def _look(self, client: str | None, server: str | None) -> None:
        for connection in self._between(client, server):
            connection.look()

    def _between(self, client: str | None, server: str | None) -> list[Connection]:
        return [each for each in self._connections.values() if each.joins(client, server)]
