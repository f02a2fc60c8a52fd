"""Decides what one stream of events says, when it says it, and when it ends. Neither reads nor sends anything itself.

A stream ends in order, with `goodbye`, before a router cuts it off: routers allow a request so many minutes (Cloud
Foundry's allows 15). Each stream ends at a moment of its own, in the last quarter of what is allowed, so that clients
that came together don't all come back together.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable

from consistency.core.feed import Told, Unproven
from consistency.core.model import WrongTimeline
from consistency.core.store import StoreError
from service.changes.admission import Place
from service.changes.encoding import Encoder, goodbye, reset, stale, sync
from service.http.answers import NO_STORE
from service.http.security_headers import SECURITY_HEADERS

STREAM = "text/event-stream"

SYNC_EVERY = 10.0
"""Seconds after which a stream says that nothing has changed."""

TRY_AGAIN = 1.0
"""Seconds after which what could not be read is asked for again."""

RETRY = (500, 4000)
"""Milliseconds, between which a client is told by chance when to come back: the others are not to have all at once."""

LARGE = 16 * 1024
"""Bytes of events that are not copied for each who is told them."""

SPREAD = 0.25
"""Part of its lifetime by which a stream may end before it is over."""


class EventStream:
    """A stream that has begun: nothing of the next piece is made before the last one has been taken. To be closed.

    has_rights: whether its request still has the rights that it was let in with. lifetime: seconds, at most.
    """

    __slots__ = ("_encoder", "_ends_at", "_first", "_has_rights", "_place")

    headers = (("Content-Type", STREAM), NO_STORE, ("X-Accel-Buffering", "no"), *SECURITY_HEADERS)

    def __init__(
        self, place: Place, encoder: Encoder, has_rights: Callable[[], bool], first: Told, lifetime: float
    ) -> None:
        self._place = place
        self._encoder = encoder
        self._has_rights = has_rights
        self._first = first
        self._ends_at = _now() + lifetime * random.uniform(1.0 - SPREAD, 1.0)

    def close(self) -> None:
        """Follow no more."""
        self._place.__exit__(None, None, None)

    def without_room(self) -> bytes:
        """What is said where the next events are more than can be kept for this client. It has its token."""
        return goodbye("busy", _retry())

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Whole events. Ends when the instance drains, when the client has lost its rights, and after its lifetime.

        What can't be read is asked for again: the client stays where it is. All in one, since each frame counts.
        """
        yield b"retry: %d\n\n" % _retry()
        said: Told | Unproven | None = self._first
        del self._first
        while True:
            if isinstance(said, Told):
                if not self._has_rights():
                    yield goodbye("rights", _retry())
                    return
                end = b"" if said.to.place else sync(said)  # it is not the end of a snapshot
                for piece in _together(reset(said), await self._encoder.events(said), end):
                    yield piece
            elif said is not None:
                yield stale(said.age)
            if (wait := self._wait(said)) is None:
                yield goodbye("draining" if self._is_draining else "lifetime", _retry())
                return
            said = None  # what was told is not kept while the next is waited for
            try:
                said = await self._place.following.next(wait)
            except WrongTimeline:
                self._place.following.begin_anew("history")
            except StoreError:
                if not self._is_draining:
                    await asyncio.sleep(TRY_AGAIN)
                said = self._place.following.unproven()

    def _wait(self, said: Told | Unproven | None) -> float | None:
        """Seconds after which more has to be said than this; None: it was the end.

        A snapshot is told to its end, since nobody goes on from within one. Else the end comes between transactions.
        """
        left = self._ends_at - _now()
        if isinstance(said, Told) and said.more and not self._place.following.is_over and (said.to.place or left > 0):
            return 0.0
        return None if self._is_draining or left <= 0 else min(SYNC_EVERY, left)

    @property
    def _is_draining(self) -> bool:
        return self._place.draining or self._place.following.is_over


def _together(beginning: bytes, events: bytes, end: bytes) -> tuple[bytes, ...]:
    """As one piece, since what is sent costs by the piece; but large events, which all who are told them share."""
    pieces = (beginning, events, end) if len(events) > LARGE else (beginning + events + end,)
    return tuple(piece for piece in pieces if piece)


def _now() -> float:
    """Seconds of the loop."""
    return asyncio.get_running_loop().time()


def _retry() -> int:
    return random.randint(*RETRY)
