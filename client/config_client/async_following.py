"""Follows the changes as a task of the caller's loop: connects, reads, persists, publishes, as the feed decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx

from config_client.async_listening import ended
from config_client.connection import Connection, failure_of, headers_of, lowered
from config_client.core import requests
from config_client.core.answers import MOST_READ
from config_client.core.calls import Attempt
from config_client.core.feed import Connect, Feed, Pause
from config_client.core.replica import Update
from config_client.errors import ConfigError

log = logging.getLogger("config_client")


class AsyncFollower:
    """See the module's opening. apply: persists and publishes an update."""

    def __init__(
        self,
        feed: Feed,
        connection: Connection,
        prefix: str,
        *,
        clock: Callable[[], float],
        apply: Callable[[Update], Awaitable[None]],
        moved: Callable[[], None],
    ) -> None:
        self._feed = feed
        self._connection = connection
        self._prefix = prefix
        self._clock = clock
        self._apply = apply
        self._moved = moved  # called whenever an attempt has ended
        self._task = asyncio.create_task(self._run(), name="config-client")

    async def aclose(self) -> None:
        """End it, and wait for its end."""
        await ended(self._task)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=0)
        options = self._connection.http_options(read=self._connection.silence)
        async with httpx.AsyncClient(limits=limits, **options) as http:
            while True:
                step = self._feed.next(self._clock())
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    continue
                try:
                    await self._follow(http, step)
                except Exception as error:
                    log.exception("following the changes has failed; it goes on")
                    self._feed.abandon(f"a fault of the client: {error!r}", self._clock())
                self._moved()

    async def _follow(self, http: httpx.AsyncClient, step: Connect) -> None:
        try:
            why = await self._stream(http, step)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = failure_of(error).why
        except ConfigError as error:
            why = str(error)
        if why is not None:
            self._feed.ended(why, self._clock())

    async def _stream(self, http: httpx.AsyncClient, step: Connect) -> str | None:
        """Return why the connection has ended, unless the feed knows."""
        request = requests.stream(self._prefix, step.after)
        headers = headers_of(Attempt(step.url, request, self._connection.read_token()))
        async with http.stream("GET", step.url + request.target, headers=headers) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip()
            if response.status_code != 200 or kind != "text/event-stream":
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MOST_READ:
                        break
                self._feed.refused(response.status_code, lowered(response), body, self._clock())
                return None
            self._feed.opened()
            async for chunk in response.aiter_bytes():
                update = self._feed.received(chunk, self._clock())
                if update is not None:
                    await self._apply(update)
                    self._feed.applied(update)
                if self._feed.is_over:
                    break
        return "closed by the other side"
