"""Tells the supervisor, as often as it wants to hear it, that the loop turns: a process that hangs is started again."""

from __future__ import annotations

from types import TracebackType

from consistency.core.events import Observer
from consistency.tasks import Worker
from service.process.notify import Notifier

ENDS_WITHIN = 1.0
"""Seconds for a task that only sleeps."""


class Watchdog:
    """A task of the running loop within the block; none where nobody waits for it."""

    def __init__(self, notifier: Notifier, observer: Observer) -> None:
        self._notifier = notifier
        self._worker = Worker("watchdog", self._tell, observer)

    async def __aenter__(self) -> None:
        if self._notifier.alive_every:
            self._worker.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the task. Raises RuntimeError if it does not."""
        self._worker.cancel()
        if not await self._worker.ended(ENDS_WITHIN):
            raise RuntimeError("the watchdog did not end")

    async def _tell(self, worker: Worker) -> None:
        self._notifier.alive()
        await worker.pause(self._notifier.alive_every)
