"""Files that are read again while an instance serves: when they change, and when a hangup asks for it.

Owns the worker that looks at them. What a look does is its file's affair.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from consistency.core.events import Observer
from consistency.tasks import Worker

LOOK_EVERY = 1.0
"""Seconds between looks: a change is known after two of them."""

Look = Callable[[bool], Awaitable[None]]
"""Reads a file if it has changed; if True, in any case."""

Around = Callable[[], contextlib.AbstractContextManager[None]]


class Rereading:
    """Looks at files. Belongs to one loop; nothing is looked at before `start`."""

    def __init__(self, observer: Observer) -> None:
        self._looks: list[Look] = []
        self._asked: Around | None = None
        self._worker = Worker("files", self._run, observer)

    def add(self, look: Look) -> None:
        """One file more."""
        self._looks.append(look)

    def start(self) -> None:
        """Look from now on, if there is anything to look at."""
        if self._looks:
            self._worker.start()

    def ask(self, around: Around) -> None:
        """Have all of them read, changed or not, within such a block."""
        self._asked = around
        self._worker.wake()

    def cancel(self) -> None:
        """Look no more."""
        self._worker.cancel()

    async def ended(self, timeout: float) -> bool:
        """See `Worker.ended`."""
        return await self._worker.ended(timeout)

    async def _run(self, worker: Worker) -> None:
        await worker.pause(LOOK_EVERY)
        asked, self._asked = self._asked, None
        with asked() if asked else contextlib.nullcontext():
            for look in self._looks:
                await look(asked is not None)
