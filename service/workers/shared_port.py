"""Refuses `/metrics` at the port that all workers share: the metrics are those of one worker.

A scrape of the shared port would get the counters of one worker now, and of another the next time: rates that nobody
can make sense of, and no error anywhere. So that port answers with an error, which says where to scrape.
"""

from __future__ import annotations

from typing import Any

from service.auth.access import METRICS, SHARED_METRICS
from service.http.front import Front
from service.http.requests import Receive
from service.http.sending import Send

_PATH, _INSTEAD = METRICS.encode(), SHARED_METRICS.encode()


class SharedPort:
    """The same ASGI application as at a worker's own port, but for that."""

    def __init__(self, front: Front) -> None:
        self._front = front

    @property
    def under_way(self) -> int:
        """See `Front`: requests of both ports."""
        return self._front.under_way

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get("raw_path") == _PATH:
            scope["raw_path"] = _INSTEAD
        await self._front(scope, receive, send)
