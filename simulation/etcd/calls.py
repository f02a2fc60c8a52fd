"""Calls, at both of their ends: one answer, or messages either way.

Owns how a call fails at the client: with the codes and words of gRPC, so that the code under test reads them as it does
in earnest. Messages are handed over as they are: their sender must not change them later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from simulation.etcd.errors import CANCELLED, DEADLINE, STREAM_REMOVED, Status
from simulation.network import Connection, Network

if TYPE_CHECKING:
    from simulation.etcd.channel import Channel


class Unary:
    """One call with one answer. At the server: `answer` or `fail` it, once."""

    __slots__ = ("connection", "future", "metadata", "method", "reads", "request")

    def __init__(self, method: str, request: Any, metadata: dict[str, str], future: asyncio.Future[Any]) -> None:
        self.method = method
        self.request = request
        self.metadata = metadata
        self.future = future
        self.connection: Connection | None = None  # None: not sent yet
        self.reads = False
        """At the server: whether it changes nothing."""

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
        elif connection.client in (network.holding if self.reads else network.holding_writes):
            network.held.append(lambda: connection.reply(deliver))
        elif network.broken_answers and network.breaks_an_answer(connection.client):
            network.after(network.delay(), self.end, STREAM_REMOVED)
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


def error(status: Status) -> grpc.aio.AioRpcError:
    """As gRPC raises it."""
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=status.details)


def _nothing() -> None:
    """Nobody wants to know."""
