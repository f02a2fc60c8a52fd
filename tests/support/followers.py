"""Clients of `/changes` over raw connections, a thousand in one thread: each has a replica, and comes back when told.

Owns the loop, in a thread of its own, and what each client was told. Judges nothing but what a single client can see.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.events import EventReader, ServerEvent

AGAIN = 1.0
"""Seconds after which a client comes back that was refused, or cut."""

AT_ONCE = 50
"""Clients that connect at the same time."""

Held = tuple[tuple[str, str], ...]


class Follower(asyncio.Protocol):
    """One client of one scope. Belongs to its loop; a test reads what it has noted."""

    def __init__(self, port: int, query: str, begin: Callable[[Coroutine[Any, Any, None]], None]) -> None:
        """begin: starts a task that somebody awaits."""
        self.synced: list[tuple[int, Held]] = []
        """At each `sync`: its revision, and what was held."""
        self.goodbyes: list[tuple[str, int]] = []
        """The reason of each, and after how many milliseconds it was told to come back."""
        self.resets: list[tuple[str, int, int]] = []
        """The cause of each, the revision of the last `sync` before it (0: none), and its own."""
        self.wrong: list[str] = []
        """What no client should see: a connection cut, an answer that is no stream, a key told twice."""
        self.follows = False
        self._begin = begin
        self._port = port
        self._query = query
        self._held: dict[str, str] = {}
        self._told: set[str] = set()  # since the last sync
        self._at = 0
        self._anew = True  # the whole scope is being told
        self._id = ""
        self._closed = False
        self._transport: asyncio.Transport | None = None

    async def connect(self) -> None:
        """Ask, from what was told last."""
        self._data, self._status, self._ended = b"", 0, False
        self._reader = EventReader()
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError as error:
            self.wrong.append(f"not connected: {error}")
            asyncio.get_running_loop().call_later(AGAIN, self._come_back)

    def close(self) -> None:
        """Go away."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        last = f"Last-Event-ID: {self._id}\r\n" if self._id else ""
        head = f"GET /changes?{self._query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{last}\r\n"
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._status:
            head, end, rest = self._data.partition(b"\r\n\r\n")
            if not end:
                return
            self._status, self._data = int(head.split()[1]), rest
            if self._status != 200 or b"chunked" not in head.lower():
                self.wrong.append(f"answered {head.decode()!r}")
                self.close_connection()
                return
            self.follows = True
        for piece in self._pieces():
            for event in self._reader.read(piece):
                self._take(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self.follows = False
        if self._closed:
            return
        told_to = self._ended and bool(self.goodbyes)
        if not told_to and self._status in (0, 200):
            self.wrong.append(f"cut after {self._at}: {exc!r}")
        pause = self.goodbyes[-1][1] / 1000 if told_to else AGAIN
        asyncio.get_running_loop().call_later(pause, self._come_back)

    def _come_back(self) -> None:
        if not self._closed:
            self._begin(self.connect())

    def close_connection(self) -> None:
        """It is not used again."""
        if self._transport is not None:
            self._transport.close()

    def _pieces(self) -> Iterator[bytes]:
        """Whole chunks."""
        while True:
            size, end, rest = self._data.partition(b"\r\n")
            if not end:
                return
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self._data = rest[length + 2 :]
            if not length:
                self._ended = True
                self.close_connection()
                return
            yield rest[:length]

    def _take(self, event: ServerEvent) -> None:
        data = event.data
        match event.name:
            case "reset":
                self.resets.append((data["cause"], self._at, data["revision"]))
                self._held, self._told, self._anew = {}, set(), True
            case "put" | "delete":
                self._change(data, event.name)
            case "sync":
                self._id, self._at, self._told, self._anew = event.id, data["revision"], set(), False
                self.synced.append((self._at, tuple(sorted(self._held.items()))))
            case "goodbye":
                self.goodbyes.append((data["reason"], self._reader.retry))

    def _change(self, data: dict[str, Any], name: str) -> None:
        key = data["key"]
        if key in self._told or (not self._anew and data["mod_revision"] <= self._at):
            self.wrong.append(f"{key} of {data['mod_revision']} told twice, after {self._at}")
        self._told.add(key)
        self._held.pop(key, None)
        if name == "put":
            self._held[key] = data["value"]


class Crowd:
    """Many of them, on a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(False)  # a thousand clients are the load, not what is looked at
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Follower] = []

    def join(self, port: int, queries: Sequence[str]) -> None:
        """One more for each query; returns when all have asked."""
        asyncio.run_coroutine_threadsafe(self._join(port, queries), self._loop).result(60)

    def run(self) -> None:
        """Until it is stopped."""
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def stop(self) -> None:
        """All go away, and nothing is left."""
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        """After `run` has returned."""
        self._loop.close()

    async def _join(self, port: int, queries: Sequence[str]) -> None:
        followers = [Follower(port, query, self._begin) for query in queries]
        self.all += followers
        for start in range(0, len(followers), AT_ONCE):
            await asyncio.gather(*(each.connect() for each in followers[start : start + AT_ONCE]))

    async def _leave(self) -> None:
        for follower in self.all:
            follower.close()
        await asyncio.gather(*self._tasks)
        await asyncio.sleep(0)  # the connections are told to be lost

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.contextmanager
def crowd() -> Iterator[Crowd]:
    """A crowd whose loop runs in a thread meanwhile."""
    made = Crowd()
    with ThreadPoolExecutor(1, "followers") as thread:
        running = thread.submit(made.run)
        try:
            yield made
        finally:
            made.stop()
            running.result(60)
            made.close()
