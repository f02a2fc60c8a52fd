"""The client's end: a channel as `grpc.aio` makes them, over the simulated network.

Owns connecting and deadlines. A call that is refused before it was sent fails at once (gRPC's fail-fast); while a
connection is being made it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from simulation.etcd.calls import Stream, Unary
from simulation.etcd.errors import Status
from simulation.network import RECONNECT, Connection, Network

Serve = Callable[["Unary | Stream"], None]
"""Takes a call when it arrives at a member."""


class Channel:
    """What `grpc.aio.insecure_channel` returns, as far as the generated stubs use it. `server` is a member's name.

    The first method that is made tells whether it is for streams: an endpoint has a channel for each sort.
    """

    def __init__(self, network: Network, client: str, server: str, serve: Serve) -> None:
        self.loop = asyncio.get_running_loop()
        self.serve = serve
        self._network = network
        self._client = client
        self._server = server
        self._connection: Connection | None = None
        self._connecting = False
        self._refusing: tuple[float, Status] | None = None  # until when, and what it was
        self._waiting: list[Unary | Stream] = []  # for the connection
        self._calls: dict[int, Unary | Stream] = {}
        self._closed = False

    def unary_unary(self, method: str, *_: Any, **__: Any) -> Any:
        """A method with one request and one answer."""
        name = method.rpartition("/")[2]

        async def call(request: Any, *, timeout: float | None = None, metadata: Any = ()) -> Any:
            return await self._call(name, request, timeout, metadata)

        return call

    def stream_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """A method with streams either way."""
        name = method.rpartition("/")[2]

        def call(*, timeout: float | None = None, metadata: Any = ()) -> Stream:
            stream = Stream(self, name, dict(metadata), timeout)
            self._start(stream)
            return stream

        return call

    def unary_stream(self, method: str, *_: Any, **__: Any) -> Any:
        """Not simulated: nobody here calls such a method."""

        def call(*_: Any, **__: Any) -> Any:
            raise NotImplementedError(method)

        return call

    async def close(self) -> None:
        """End all calls: a caller that waits for one gets a CancelledError."""
        self._closed = True
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            if isinstance(call, Stream):
                call.cancel()
            else:
                call.future.cancel()
        if self._connection is not None:
            self._connection.leave()
            self._connection = None

    def over(self, call: Unary | Stream) -> None:
        """A call has ended."""
        self._calls.pop(id(call), None)

    async def _call(self, name: str, request: Any, timeout: float | None, metadata: Any) -> Any:
        call = Unary(name, request, dict(metadata), self.loop.create_future())
        timer = None if timeout is None else self.loop.call_later(max(0.0, timeout), call.expire)
        try:
            self._start(call)
            return await call.future
        finally:
            if timer is not None:
                timer.cancel()
            self._calls.pop(id(call), None)
            if call.connection is not None:
                call.connection.broken.pop(id(call), None)

    def _start(self, call: Unary | Stream) -> None:
        self._calls[id(call)] = call
        connection = self._connection
        if connection is not None and connection.open:
            self._send(call, connection)
        elif self._refusing is not None and self.loop.time() < self._refusing[0]:
            call.end(self._refusing[1])
        else:
            self._waiting.append(call)
            self._connect(streams=isinstance(call, Stream))

    def _connect(self, *, streams: bool) -> None:
        if not self._connecting:
            self._connecting = True
            self._network.connect(self._client, self._server, streams=streams, done=self._connected)

    def _connected(self, found: Connection | Status) -> None:
        self._connecting = False
        waiting, self._waiting = self._waiting, []
        if isinstance(found, Status):
            self._refusing = self.loop.time() + self._network.random.uniform(*RECONNECT), found
            for call in waiting:
                call.end(found)
            return
        if self._closed:
            found.leave()
            return
        self._connection = found
        for call in waiting:
            if id(call) in self._calls:
                self._send(call, found)

    def _send(self, call: Unary | Stream, connection: Connection) -> None:
        if isinstance(call, Stream):
            call.sent(connection)
            return
        call.connection = connection
        connection.broken[id(call)] = call.end
        network = self._network
        if network.lost_before and network.random.random() < network.lost_before:
            call.lose(network)
        else:
            connection.send(lambda: self.serve(call))
