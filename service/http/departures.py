"""Notices that a client has gone, so that nobody waits in its place: what was sent to etcd goes on all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from consistency.tasks import Errands
from service.http.bodies import StreamedBody

LOOK_AFTER = 0.1
"""Seconds a request takes before its client is looked after; most are answered by then, and spared it."""


class Departed(Exception):
    """The client has gone."""


class Departures:
    """Ends the waits of clients that have gone. Belongs to one loop."""

    def __init__(self, errands: Errands) -> None:
        self._errands = errands

    @contextmanager
    def watched(self, body: StreamedBody) -> Iterator[None]:
        """Raises Departed within the block when the client has gone."""
        watch = _Watch(body, self._errands)
        try:
            yield
        except asyncio.CancelledError:
            if watch.claims_cancellation():
                raise Departed from None
            raise
        finally:
            watch.end()


class _Watch:
    """Of the request of the running task."""

    def __init__(self, body: StreamedBody, errands: Errands) -> None:
        self._body = body
        self._errands = errands
        self._request = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.Task[None] | None = None
        self._gone = False
        self._timer = self._loop.call_later(LOOK_AFTER, self._begin)

    def claims_cancellation(self) -> bool:
        """Whether the request's task was cancelled by this, and by nobody else."""
        return self._gone and self._request is not None and not self._request.uncancel()

    def end(self) -> None:
        """There is an answer."""
        self._timer.cancel()
        if self._look is not None:
            self._errands.cut_short(self._look)

    def _begin(self) -> None:
        if self._body.is_whole:
            self._look = self._errands.start(self._departure(), "departure")
        elif not self._body.ended:  # who receives the body sees the end of it
            self._timer = self._loop.call_later(LOOK_AFTER, self._begin)

    async def _departure(self) -> None:
        await self._body.departure()
        if self._request is not None:
            self._gone = True
            self._request.cancel()
