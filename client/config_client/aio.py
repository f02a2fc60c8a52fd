"""`AsyncConfigClient`: for programs on an asyncio loop. Reads come from memory; one task follows the changes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any

import anyio

from config_client.async_following import AsyncFollower
from config_client.async_listening import AsyncListener, Callback, awaited, for_each
from config_client.async_service import AsyncService
from config_client.base import Delete, Options, Put, Reading, made_connection
from config_client.changes import Backlog, Refusals
from config_client.core import requests
from config_client.core.replica import Update
from config_client.core.requests import Answer, Request
from config_client.errors import Closed, Forked, TimedOut
from config_client.service import Written
from config_client.values import encoded

log = logging.getLogger("config_client")


class AsyncConfigClient(Reading):
    """As `ConfigClient`, on the loop that it is started on: `async with AsyncConfigClient(…) as config:`.

    Reads are plain calls, since they come from memory. Callbacks run on the loop, as tasks of their own, and may be
    coroutine functions; one that blocks holds the loop, as anything does there. After a fork everything but reads
    raises Forked in the child. Cancelling a write gives up the wait: it may have happened.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        prefix: str = "",
        options: Options | None = None,
        on_invalid: Callback | None = None,
        **connection: Any,
    ) -> None:
        own = {name: connection.pop(name) for name in Options.__dataclass_fields__ if name in connection}
        super().__init__(made_connection(urls, connection), prefix, options or Options(**own))
        self._on_invalid = on_invalid
        self._refusals = Refusals()
        self._listeners: list[AsyncListener] = []
        self._invalid_listener: AsyncListener | None = None
        self._follower: AsyncFollower | None = None
        self._pid = os.getpid()

    # --- its life

    async def __aenter__(self) -> AsyncConfigClient:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """As `ConfigClient.start`."""
        if self._follower is not None:
            raise Closed("a client starts once; make another")
        await asyncio.to_thread(self._load)
        self._moved = asyncio.Event()  # told of each view and of each attempt that has ended; then replaced
        self._service = AsyncService(self.connection)
        self._follower = AsyncFollower(
            self._feed, self.connection, self.prefix, clock=self._clock, apply=self._apply, moved=self._tell_moved
        )
        with anyio.move_on_after(self._options.start_within):
            while not (self._told or self._feed.is_refused):
                await self._moved.wait()
        if not self._told:
            failed = self._start_failed()
            if not self._memory.view.token:
                await self.aclose()
                raise failed
            log.warning("it starts with the last known good of revision %d: %s", self.revision, "; ".join(failed.tried))
        self._is_open = True
        if self._on_invalid is not None:
            self._invalid_listener = AsyncListener(self._refusals, for_each(self._on_invalid), "on_invalid")
            self._listeners.append(self._invalid_listener)

    async def aclose(self) -> None:
        """End all tasks and connections; reads raise Closed from now on. It may be called twice."""
        self._is_open = False
        if self._follower is None:
            return
        listeners, self._listeners = self._listeners, []
        await self._follower.aclose()
        for listener in listeners:
            await listener.aclose()
        self._tell_moved()
        await self._service.aclose()

    # --- being told

    def on_change(self, name: str, callback: Callback) -> AsyncListener:
        """As `ConfigClient.on_change`; the callback may be a coroutine function."""
        return self._listen(name, for_each(callback))

    def on_update(self, callback: Callback, name: str = "") -> AsyncListener:
        """As `ConfigClient.on_update`; the callback may be a coroutine function."""
        return self._listen(name, awaited(callback))

    async def wait_for(self, revision: int, timeout: float = 30.0) -> None:
        """As `ConfigClient.wait_for`."""
        with anyio.move_on_after(timeout):
            while self.revision < revision:
                self._check()
                await self._moved.wait()
        if self.revision < revision:
            raise TimedOut(f"revision {revision} has not come within {timeout:g} s; {self.revision} is held")

    # --- writes

    async def put(
        self, name: str, value: Any, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """As `ConfigClient.put`."""
        key = self.prefix + name
        answer = await self._send(requests.put(key, encoded(value), if_match=if_match, sync=sync, reason=reason))
        return Written(answer.revision, (answer.status == 200,))

    async def delete(
        self, name: str, *, if_match: int | None = None, reason: str | None = None, sync: bool = False
    ) -> Written:
        """As `ConfigClient.delete`."""
        request = requests.delete(self.prefix + name, if_match=if_match, sync=sync, reason=reason)
        return Written((await self._send(request)).revision, ())

    async def batch(
        self, operations: Sequence[Put | Delete], *, reason: str | None = None, sync: bool = False
    ) -> Written:
        """As `ConfigClient.batch`."""
        made = [self._operation(each) for each in operations]
        data = json.loads((await self._send(requests.batch(made, sync=sync, reason=reason))).body)
        return Written(data["revision"], tuple(each["existed"] for each in data["results"]))

    # --- inside

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise Forked("this process was forked from the one whose loop the client belongs to; start another here")
        if not self._is_open:
            self._refuse()

    def _listen(self, name: str, callback: Callable[[list[Any]], Awaitable[object]]) -> AsyncListener:
        self._check()
        backlog = Backlog(self.prefix, name)
        listener = AsyncListener(backlog, callback, repr(name))

        def hear(update: Update) -> None:
            if backlog.add(update):
                listener.wake()

        def forget() -> None:
            self._memory.forget(hear)
            self._listeners = [each for each in self._listeners if each is not listener]

        listener.on_close = forget
        self._listeners.append(listener)
        self._memory.hear(hear)
        return listener

    async def _send(self, request: Request) -> Answer:
        self._check()
        return await self._service.send(request)

    async def _apply(self, update: Update) -> None:
        """Persist, then publish, then notify."""
        if self._keeper is not None:
            changed = bool(update.names) or not self._told
            if changed or self._keeper.is_due():
                await asyncio.to_thread(self._keeper.keep, update.after, self._feed.proven_at)
        refused = self._memory.publish(update)
        self._told = True
        for each in refused:
            log.warning("a document is refused by its type: %s", each)
            self._refusals.add(each)
        if refused and self._invalid_listener is not None:
            self._invalid_listener.wake()
        self._tell_moved()

    def _tell_moved(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
