"""Listeners as tasks on the caller's loop: one that raises stops nobody."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from config_client.listening import Gathering

log = logging.getLogger("config_client")
Callback = Callable[[Any], object] | Callable[[Any], Awaitable[object]]


class AsyncListener:
    """The handle of a callback: `aclose` it, or leave it to the client."""

    def __init__(self, gathering: Gathering, callback: Callable[[list[Any]], Awaitable[object]], title: str) -> None:
        self._gathering = gathering
        self._callback = callback
        self._title = title
        self._bell = asyncio.Event()
        self.on_close: Callable[[], None] = lambda: None
        self._task = asyncio.create_task(self._run(), name=f"config-client listener {title}")

    def wake(self) -> None:
        """There is something to tell."""
        self._bell.set()

    async def aclose(self) -> None:
        """Tell nothing more; a call that is under way is cancelled, unless it is this one."""
        self.on_close()
        if self._task is not asyncio.current_task():
            await ended(self._task)

    async def _run(self) -> None:
        while True:
            await self._bell.wait()
            self._bell.clear()
            if gathered := self._gathering.take():
                try:
                    await self._callback(gathered)
                except Exception:
                    log.exception("the listener %s has failed; it is told further", self._title)


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; what it ended with has been logged."""
    task.cancel()
    await asyncio.wait([task])


def awaited(callback: Callback) -> Callable[[Any], Awaitable[object]]:
    """Return a callback that can be awaited, whatever it was."""

    async def called(told: Any) -> object:
        result = callback(told)
        return await result if inspect.isawaitable(result) else result

    return called


def for_each(callback: Callback) -> Callable[[list[Any]], Awaitable[None]]:
    """Return what calls back for each, whatever the ones before have raised."""
    one = awaited(callback)

    async def called(told: list[Any]) -> None:
        for each in told:
            try:
                await one(each)
            except Exception:
                log.exception("a listener has failed; it is told further")

    return called
