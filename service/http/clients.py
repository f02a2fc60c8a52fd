"""The client of a request: its body as it comes, how slow it may be, and that it has gone.

Nobody waits in the place of one that has gone; what was sent to etcd goes on. One timer looks at all requests under
way, and only those that take long have their client looked after: to do so is to ask the server, with a task that waits
for its answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol

from consistency.tasks import TICK, Errands
from service.http.request_heads import TRANSFER_ENCODING, Environ

GRACE = 5.0
"""Seconds that any body and any answer may take."""

LEAST_RATE = 64 * 1024
"""Bytes a second, beyond the grace."""

LOOK_AFTER = 0.1
"""Seconds a request takes before its client is looked after; most are answered by then, and spared it."""

LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_NOTHING = ("", "0")

Receive = Callable[[], Awaitable[dict[str, Any]]]


def allowed(length: int) -> float:
    """Seconds in which so many bytes must have been sent or taken."""
    return GRACE + length / LEAST_RATE


class Body(Protocol):
    """What a request carries."""

    async def receive(self, length: int) -> bytes:
        """Return `length` bytes, or fewer when it ends before."""


class StreamedBody:
    """The body of a request that a server passes on in pieces (ASGI), counted."""

    def __init__(self, receive: Receive, environ: Environ) -> None:
        self._receive = receive
        self._announced = announced(environ)
        self._ended = False
        self.received = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it is left to be received."""
        return self.received == self._announced

    def is_small(self, most: int) -> bool:
        """Whether it is said to have so many bytes at most."""
        return self._announced is not None and self._announced <= most

    @property
    def ended(self) -> bool:
        """Whether no more of it will come."""
        return self._ended

    async def receive(self, length: int) -> bytes:
        """Return `length` bytes, or fewer when it ends before; what is beyond is discarded."""
        document = await self.piece()
        if len(document) >= length or not document:
            return document[:length]
        longer = bytearray(document)
        while len(longer) < length and (piece := await self.piece()):
            longer += piece
        return bytes(longer[:length])

    async def piece(self) -> bytes:
        """Return the next bytes; none at the end, or when the client has gone."""
        while not self._ended:
            message = await self._receive()
            if message["type"] != "http.request":
                self._ended = True
                break
            self._ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                self.received += len(piece)
                return bytes(piece)
        return b""

    async def departure(self, tell: Callable[[], None]) -> None:
        """Wait until the client has gone, and tell; to be asked once all of the body has been received."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        tell()


class WholeBody:
    """A body that has been received already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def receive(self, length: int) -> bytes:
        """Return it."""
        return self._body[:length]


def whole_body(environ: Environ, length: int) -> WholeBody:
    """Receive up to `length` bytes in WSGI's way, which waits."""
    stream = environ["wsgi.input"]
    received = bytearray()
    while len(received) < length and (piece := stream.read(length - len(received))):
        received += piece
    return WholeBody(bytes(received))


def announced(environ: Environ) -> int | None:
    """The bytes that the body has; None if that can't be told: with a Transfer-Encoding a proxy may see another end."""
    if TRANSFER_ENCODING in environ:
        return None
    length = environ.get("CONTENT_LENGTH", "")
    if length in _NOTHING:
        return 0
    return int(length) if LENGTH.fullmatch(length) else None


class Departed(Exception):
    """The client has gone."""


class Departures:
    """Looks after the clients of requests. Belongs to one loop."""

    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._young: dict[Watch, float] = {}  # whom nobody looks after yet, with the loop's seconds of their coming
        self._timer: asyncio.TimerHandle | None = None

    def watched(self, body: StreamedBody, gone: Callable[[], object], *, sees_through: bool = False) -> Watch:
        """A block that ends with Departed when the client has gone: at once, or, if it `sees_through`, when it is done.

        gone: called when it goes.
        """
        return Watch(self, body, gone, sees_through)

    def add(self, watch: Watch) -> None:
        """It begins."""
        loop = asyncio.get_running_loop()
        self._young[watch] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(LOOK_AFTER, self._look)

    def remove(self, watch: Watch) -> None:
        """It has ended."""
        self._young.pop(watch, None)
        if watch.look is not None:
            self._errands.cut_short(watch.look)

    def _look(self) -> None:
        """At those who have been here for long enough; the others stand behind them."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while self._young:
            watch, since = next(iter(self._young.items()))
            if since + LOOK_AFTER > now:
                self._timer = loop.call_later(max(TICK, since + LOOK_AFTER - now), self._look)
                return
            del self._young[watch]
            if watch.body.is_whole:
                watch.look = self._errands.start(watch.body.departure(watch.tell), "departure")
            elif not watch.body.ended:  # who receives the body sees the end of it; later it may be all here
                self._young[watch] = now


class Watch:
    """Over one request, which is the running task."""

    __slots__ = ("_departures", "_gone", "_has_gone", "_request", "_sees_through", "body", "look")

    def __init__(
        self, departures: Departures, body: StreamedBody, gone: Callable[[], object], sees_through: bool
    ) -> None:
        self._departures = departures
        self._gone = gone
        self._has_gone = False
        self._sees_through = sees_through
        self._request: asyncio.Task[object] | None = None
        self.body = body
        self.look: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._request = asyncio.current_task()
        self._departures.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departures.remove(self)
        if self._has_gone and (kind is None or issubclass(kind, Exception) or self._claims_cancellation()):
            raise Departed from None

    def tell(self) -> None:
        """The client has gone: see to it that its request knows."""
        self._has_gone = True
        self._gone()
        if not self._sees_through and self._request is not None:
            self._request.cancel()

    def _claims_cancellation(self) -> bool:
        """Whether the request's task was cancelled by this, and by nobody else."""
        return not self._sees_through and self._request is not None and not self._request.uncancel()
