"""The network between an instance and etcd, in the hands of a test: one TCP proxy for each of their connections.

Owns the listening ports and one thread with an event loop. An instance has a `Link` of its own; it finds one port for
each etcd member there. What is held is delivered later, as TCP would, so a request may reach etcd long after its sender
gave up. What is lost breaks the connection at the next byte that gets through.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

_CHUNK = 65_536
_ANSWER_WITHIN = 10.0
_LINGER_NOT = struct.pack("ii", 1, 0)  # closing sends RST, not FIN

_STREAMS = (b"/etcdserverpb.Watch/", b"/etcdserverpb.Lease/LeaseKeepAlive")
_DATA = (b"/etcdserverpb.KV/", b"/etcdserverpb.Lease/LeaseGrant")
_LONGEST = max(map(len, _STREAMS + _DATA))


class Way(enum.StrEnum):
    """Which way bytes go."""

    REQUESTS = "requests"
    ANSWERS = "answers"


class Purpose(enum.StrEnum):
    """What a connection is for, told by the first path that a client asks for on it (gRPC sends it in plain)."""

    UNKNOWN = "unknown"
    DATA = "data"
    STREAMS = "streams"  # the watch, and the renewals of the lease


class Fate(enum.StrEnum):
    """What becomes of bytes."""

    PASS = "pass"
    HOLD = "hold"
    LOSE = "lose"


class Connection:
    """One client's connection and ours to etcd. Used in the loop's thread only."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.purpose = Purpose.UNKNOWN
        self.torn = False  # bytes were lost: what follows would make no sense
        self.abandoned = False  # one side is gone, and the other is not to know
        self._tail = b""

    def recognise(self, requests: bytes) -> None:
        """Learns the purpose from what the client sends."""
        if self.purpose is Purpose.UNKNOWN:
            seen, self._tail = self._tail + requests, (self._tail + requests)[-_LONGEST:]
            if any(path in seen for path in _STREAMS):
                self.purpose = Purpose.STREAMS
            elif any(path in seen for path in _DATA):
                self.purpose = Purpose.DATA

    def reset(self) -> None:
        """RST both ways."""
        abort(self.client)
        abort(self.server)


class Link:
    """All connections of one instance. The methods may be called from any thread; each returns when it has effect."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, None]], None], targets: Sequence[int]) -> None:
        self._run = run
        self._targets = tuple(targets)
        self._sockets = tuple(socket.create_server(("127.0.0.1", 0)) for _ in targets)
        self.ports: tuple[int, ...] = tuple(each.getsockname()[1] for each in self._sockets)
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._fates: dict[tuple[Way, Purpose | None], Fate] = {}
        self._delay = 0.0
        self._refuses = False
        self._changed = asyncio.Event()  # set, and replaced, whenever one of the three above changes
        self.kept_back = 0  # bytes that were held or lost, ever

    # --- faults

    def hold(self, *ways: Way, purpose: Purpose | None = None) -> None:
        """Black hole: nothing passes, nothing is closed, and what waits is delivered afterwards."""
        self._set({(way, purpose): Fate.HOLD for way in ways})

    def lose(self, *ways: Way, purpose: Purpose | None = None) -> None:
        """As `hold`, but what is sent meanwhile never arrives."""
        self._set({(way, purpose): Fate.LOSE for way in ways})

    def delay(self, seconds: float) -> None:
        """Every chunk comes so much later, either way."""
        self._set({}, delay=seconds)

    def refuse(self) -> None:
        """Connections are reset, and new ones at once."""
        self._set({}, refuses=True)
        self.reset()

    def reset(self) -> None:
        """RST to both sides of every connection."""
        self._run(self._reset())

    def half_open(self, kept: Way) -> None:
        """One side of every connection goes away, and the other is not told: REQUESTS keeps the client's, ANSWERS
        etcd's."""
        self._run(self._half_open(kept))

    def heal(self) -> None:
        """Everything passes again; what was half open stays so until its owner gives it up."""
        self._run(self._heal())

    def purposes(self) -> list[Purpose]:
        """Of the connections there are."""
        return [connection.purpose for connection in tuple(self._connections)]

    # --- its life, in the loop's thread

    async def open(self) -> None:
        """Starts to listen."""
        for listener, target in zip(self._sockets, self._targets, strict=True):
            self._servers.append(await asyncio.start_server(self._serve(target), sock=listener))

    async def close(self) -> None:
        """Ends every connection and stops listening."""
        for server in self._servers:
            server.close()
        await self._reset()

    def _serve(self, target: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        async def serve(requests: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
            if self._refuses:
                abort(client)
                return
            try:
                answers, server = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                abort(client)  # as near to a refusal as an accepted connection gets
                return
            connection = Connection(client, server)
            self._connections.add(connection)
            # Cancelled it is at the end of all; the server then asks for its exception, which nothing cancelled has.
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    await asyncio.gather(
                        self._pump(connection, Way.REQUESTS, requests, server),
                        self._pump(connection, Way.ANSWERS, answers, client),
                    )
                finally:
                    self._connections.discard(connection)
                    connection.reset()

        return serve

    async def _pump(
        self, connection: Connection, way: Way, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(_CHUNK):
                if way is Way.REQUESTS:
                    connection.recognise(chunk)
                if self._delay:
                    await asyncio.sleep(self._delay)
                if not await self._gets_through(connection, way, len(chunk)):
                    continue
                if connection.torn:
                    break
                sink.write(chunk)
                await sink.drain()
            if not connection.abandoned:
                await self._gets_through(connection, way, 0)
                sink.close()

    async def _gets_through(self, connection: Connection, way: Way, size: int) -> bool:
        """Waits while bytes of that connection are held; False if they are lost."""
        if connection.abandoned:
            return False
        fate = self._fate(connection, way)
        self.kept_back += size if fate is not Fate.PASS else 0
        while fate is Fate.HOLD:
            await self._changed.wait()
            fate = self._fate(connection, way)
        if fate is Fate.LOSE:
            connection.torn = True
        return fate is Fate.PASS

    def _fate(self, connection: Connection, way: Way) -> Fate:
        everyone = self._fates.get((way, None), Fate.PASS)
        return self._fates.get((way, connection.purpose), everyone)

    # --- changes, in the loop's thread

    def _set(self, fates: dict[tuple[Way, Purpose | None], Fate], **more: Any) -> None:
        self._run(self._change(fates, **more))

    async def _change(
        self, fates: dict[tuple[Way, Purpose | None], Fate], *, delay: float | None = None, refuses: bool = False
    ) -> None:
        self._fates |= fates
        self._delay = self._delay if delay is None else delay
        self._refuses = self._refuses or refuses
        self._announce()

    async def _heal(self) -> None:
        self._fates, self._delay, self._refuses = {}, 0.0, False
        self._announce()

    async def _reset(self) -> None:
        for connection in tuple(self._connections):
            connection.reset()

    async def _half_open(self, kept: Way) -> None:
        for connection in tuple(self._connections):
            connection.abandoned = True
            abort(connection.server if kept is Way.REQUESTS else connection.client)
        self._announce()

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Network:
    """The loop's thread and its links. As a context manager it starts, and is ended and joined afterwards."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._links: list[Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            self._run(link.close())
        self._run(_end_of_tasks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_WITHIN)
        self._loop.close()

    def link(self, targets: Sequence[int]) -> Link:
        """A link to these ports of 127.0.0.1."""
        link = Link(self._run, targets)
        self._links.append(link)
        self._run(link.open())
        return link

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_WITHIN)


async def _end_of_tasks() -> None:
    ours = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not ours]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
