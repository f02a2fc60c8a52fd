"""Two connections joined to one: what comes from one side goes to the other, byte by byte, as fast as that takes it.

Neither side is read while the other has more to take than LARGEST. The end of one side is the end of the other, once
what was on its way has been taken, or END_WITHIN has passed. But nobody sees the end of a side that is not read:

    1. The client takes next to nothing. The server's side is not read any more.
    2. The service has had enough, and the server ends its connection. Nobody sees that here.
    3. So a client that has not taken what waits for it within TAKEN_WITHIN is cut off.

Half of a connection does not end: TLS here knows no such thing, and the server takes the end of one half for that of
both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from service.process.listener import BUFFER

LARGEST = BUFFER
"""Bytes that wait in this process for one side; what is read at once comes on top."""

END_WITHIN = 10.0
"""Seconds for one side to take the rest once the other has ended, and to say so in turn."""

TAKEN_WITHIN = 30.0
"""Seconds for a client to take most of LARGEST; the service itself gives nobody more (`service.http.streaming`)."""


class Side(asyncio.Protocol):
    """One side. Belongs to one loop.

    The first one waits, and is not read, until the other one, which is made for it, is connected. ended: is set when
    the connection has gone. lost: called before anybody else can have its address.
    """

    __slots__ = ("_deadline", "_is_client", "_lost", "_other", "_transport", "ended")

    def __init__(self, other: Side | None = None, lost: Callable[[], object] = lambda: None) -> None:
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._other = other
        self._is_client = other is None
        self._deadline: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()

    def close(self) -> None:
        """End it once the rest has been taken, or has not been for too long."""
        if self._transport is not None and not self._transport.is_closing():
            self._let_wait(END_WITHIN)
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None and not self.ended.is_set():
            self._open().abort()

    @property
    def unsent(self) -> int:
        """Bytes that it has not taken yet."""
        return 0 if self.ended.is_set() else self._open().get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=LARGEST)
        if self._other is None:
            self._transport.pause_reading()
        elif self._other.ended.is_set():
            asyncio.get_running_loop().call_soon(self.close)  # uvloop loses count of a socket that is closed here
        else:
            self._other._join(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._other is not None and not self._other._open().is_closing():
            self._other._open().write(data)

    def eof_received(self) -> None:
        """Called by the loop, which then closes this side."""
        if self._other is not None:
            self._other.close()

    def pause_writing(self) -> None:
        """Called by the loop: there is more to take than LARGEST."""
        if self._is_client:
            self._let_wait(TAKEN_WITHIN)
        if self._other is not None and not self._other.ended.is_set():
            self._other._open().pause_reading()

    def resume_writing(self) -> None:
        """Called by the loop. Once this side is being closed, it has to take all of the rest in time, and not most."""
        if not self._open().is_closing():
            self._has_taken()
        if self._other is not None and not self._other.ended.is_set():
            self._other._open().resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        """Called by the loop."""
        self._lost()
        self.ended.set()
        self._has_taken()
        if (other := self._other) is not None:
            # What holds each other would stay until the collector of cycles comes by, which it does seldom here.
            self._other = other._other = None
            other.close()

    def _let_wait(self, seconds: float) -> None:
        self._has_taken()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)

    def _has_taken(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _join(self, other: Side) -> None:
        self._other = other
        self._open().resume_reading()

    def _open(self) -> asyncio.Transport:
        assert self._transport is not None, "it is connected"
        return self._transport
