"""The client's end: a channel as `grpc.aio` makes them, over the simulated network.

Owns connecting, deadlines, and how a call fails at the client: with the codes and words of gRPC, so that the code under
test reads them as it does in earnest. Messages are handed over as they are: whoever sends one must not change it later.

A call that is refused before it was sent fails at once (gRPC's fail-fast); while a connection is being made it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from simulation.etcd.errors import CANCELLED, DEADLINE, STREAM_REMOVED, Status
from simulation.network import RECONNECT, Connection, Network

Serve = Callable[["Unary | Stream"], None]
"""Takes a call when it arrives at a member."""


class Unary:
    """One call with one answer. At the server: `answer` or `fail` it, once."""

    __slots__ = ("connection", "future", "metadata", "method", "request")

    def __init__(self, method: str, request: Any, metadata: dict[str, str], future: asyncio.Future[Any]) -> None:
        self.method = method
        self.request = request
        self.metadata = metadata
        self.future = future
        self.connection: Connection | None = None  # None: not sent yet

    @property
    def given_up(self) -> bool:
        """Whether nobody waits for the answer any more. Servers hear of it in time only if they stood still."""
        return self.future.done()

    def answer(self, message: Any) -> None:
        """Send the answer; it may be lost."""
        self._reply(lambda: self._settle(message))

    def fail(self, status: Status) -> None:
        """Send a refusal; it may be lost."""
        self._reply(lambda: self.end(status))

    def end(self, status: Status) -> None:
        """At the client: it is over, without an answer."""
        if not self.future.done():
            self.future.set_exception(error(status))

    def expire(self) -> None:
        """At the client: the time is up."""
        self.end(DEADLINE)

    def _settle(self, message: Any) -> None:
        if not self.future.done():
            self.future.set_result(message)

    def _reply(self, deliver: Callable[[], None]) -> None:
        connection = self.connection
        assert connection is not None
        network = connection.network
        if network.lost_after and network.random.random() < network.lost_after:
            self.lose(network)
        else:
            connection.reply(deliver)

    def lose(self, network: Network) -> None:
        """It or its answer is lost: either nothing more is heard, or that it broke."""
        if network.random.random() < 0.5:
            network.after(network.delay(), self.end, STREAM_REMOVED)


class Stream:
    """One call with many messages either way, as `grpc.aio`'s. At the server: `serve` it."""

    def __init__(self, channel: Channel, method: str, metadata: dict[str, str], timeout: float | None) -> None:
        self.method = method
        self.metadata = metadata
        self.connection: Connection | None = None
        self.received: Callable[[Any], object] | None = None  # at the server: takes messages
        self.closed: Callable[[], object] = _nothing  # at the server: it is over
        self._channel = channel
        self._unsent: list[Any] = []
        self._arrived: deque[Any] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._status: Status | None = None
        self._timer = None if timeout is None else channel.loop.call_later(max(0.0, timeout), self.end, DEADLINE)

    # --- at the client

    async def write(self, message: Any) -> None:
        """Send a message. Raises InvalidStateError when the call has ended."""
        if self._status is not None:
            raise asyncio.InvalidStateError("RPC already finished.")
        if self.connection is None:
            self._unsent.append(message)
        else:
            self._send(message)

    async def read(self) -> Any:
        """The next message, or EOF. Raises the call's error; CancelledError when it was cancelled here."""
        while not self._arrived:
            if self._status is not None:
                if self._status is CANCELLED:
                    raise asyncio.CancelledError
                if self._status.code is grpc.StatusCode.OK:
                    return grpc.aio.EOF
                raise error(self._status)
            self._waiter = self._channel.loop.create_future()
            await self._waiter
        return self._arrived.popleft()

    def cancel(self) -> None:
        """End it from here; the server hears of it."""
        if self._status is None:
            self.end(CANCELLED)
            self._arrived.clear()
            if self.connection is not None:
                self.connection.send(self._close_there)

    def end(self, status: Status) -> None:
        """At the client: it is over."""
        if self._status is not None:
            return
        self._status = status
        self._channel.over(self)
        if self._timer is not None:
            self._timer.cancel()
        if self.connection is not None:
            self.connection.broken.pop(id(self), None)
        self._wake()

    def sent(self, connection: Connection) -> None:
        """There is a connection: what was written goes."""
        self.connection = connection
        connection.broken[id(self)] = self.end
        connection.send(self._open_there)
        for message in self._unsent:
            self._send(message)

    def _send(self, message: Any) -> None:
        assert self.connection is not None
        self.connection.send(lambda: self._receive_there(message))

    def _take(self, message: Any) -> None:
        if self._status is None:
            self._arrived.append(message)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- at the server

    def answer(self, message: Any) -> None:
        """Send a message to the client."""
        assert self.connection is not None
        self.connection.reply(lambda: self._take(message))

    def fail(self, status: Status) -> None:
        """End it from there."""
        assert self.connection is not None
        self.connection.ended.pop(id(self), None)
        self.connection.reply(lambda: self.end(status))

    def _open_there(self) -> None:
        assert self.connection is not None
        self.connection.ended[id(self)] = self.closed_there
        self._channel.serve(self)

    def _receive_there(self, message: Any) -> None:
        if self.received is not None:
            self.received(message)

    def _close_there(self) -> None:
        assert self.connection is not None
        self.connection.ended.pop(id(self), None)
        self.closed_there()

    def closed_there(self) -> None:
        """The server lets go of it."""
        self.received = None
        closed, self.closed = self.closed, _nothing
        closed()


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
        """End all calls: whoever waits for one gets a CancelledError."""
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


def error(status: Status) -> grpc.aio.AioRpcError:
    """As gRPC raises it."""
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=status.details)


def _nothing() -> None:
    """Nobody wants to know."""
