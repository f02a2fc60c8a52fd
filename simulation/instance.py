"""One instance of the fleet: its lives, one after another, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from consistency.core.events import BatchAnswered, Event, Observer, StoreCalled, WatchStarted, WorkerFailed
from consistency.core.store import Store
from simulation.life import Clock, Life
from simulation.loop import Loop
from simulation.owners import Task
from simulation.plan import Machine

MOMENT = 1e-6
"""Virtual seconds by which clocks of different rates may differ over one call."""


class Instance:
    """The lives of one instance, and what is to be told of them. batches: how many were answered that read a key.

    streams: how often its watch of the version key has begun.
    """

    def __init__(
        self, number: int, loop: Loop, machine: Machine, connect: Callable[[int, Clock, Observer], Store],
        tell: Callable[[str, object], None], problem: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.number = number
        self.machine = machine
        self.life: Life | None = None
        self.batches = 0
        self.streams = 0
        self._loop = loop
        self._connect = connect
        self._tell = tell
        self._problem = problem
        self._lives = 0
        self._pauses = 0
        self._stop: Task[list[str]] | None = None
        self.stopped: dict[str, float] = {}
        """The names of the processes that were told to end in order, and when."""
        self._last_read = 0.0

    @property
    def alive(self) -> Life | None:
        """The process, unless there is none."""
        return None if self.life is None or self.life.owner.dead else self.life

    def start(self) -> None:
        """A new process, unless one is there."""
        if self.alive:
            return
        self._lives += 1
        name = f"instance {self.number}" + (f" (life {self._lives})" if self._lives > 1 else "")
        self._pauses = 0
        self._stop = None
        self.life = Life(name, self._loop, self.machine, self._store, self._observe)

    def _observe(self, event: Event) -> None:
        self._tell(f"instance {self.number}", event)
        if isinstance(event, BatchAnswered) and event.wants:
            self.batches += 1
        self.streams += isinstance(event, WatchStarted)
        if isinstance(event, WorkerFailed):
            self._problem(f"instance {self.number}: {event.name} failed: {event.detail}")

    def _store(self, clock: Clock) -> Store:
        return self._connect(self.number, clock, self._called)

    def _called(self, event: Event) -> None:
        if isinstance(event, WorkerFailed):
            self._observe(event)
        if isinstance(event, StoreCalled) and event.kind == "versions":
            self._past_read(event.seconds / self.machine.rate)

    def _past_read(self, seconds: float) -> None:
        """The version key's past has been read: once for all who wait for it (rule 18)."""
        if self._loop.now - seconds < self._last_read - MOMENT:
            self._problem(f"instance {self.number}: its past is read more than once at the same time")
        self._last_read = self._loop.now

    def pause(self) -> None:
        """SIGSTOP. Several may overlap: it goes on when the last of them ends."""
        if life := self.alive:
            self._pauses += 1
            life.held_at_its_end |= life.stopping
            self._loop.hold(life.owner)

    def resume(self) -> None:
        """SIGCONT."""
        if (life := self.alive) and self._pauses:
            self._pauses -= 1
            if not self._pauses:
                self._loop.release(life.owner)

    def stall(self, seconds: float) -> None:
        """Something holds its loop."""
        if life := self.alive:
            self.pause()
            self._loop.call_later(seconds, self._unstall, life)

    def _unstall(self, life: Life) -> None:
        if life is self.alive:
            self.resume()

    def kill(self) -> None:
        """SIGKILL."""
        if life := self.alive:
            life.die()

    def stop(self) -> Task[list[str]] | None:
        """SIGTERM; does not wait."""
        life = self.alive
        if life and not life.stopping:
            life.held_at_its_end = bool(self._pauses)
            self.stopped[life.owner.name] = self._loop.now
            self._stop = life.stop()
            self._stop.add_done_callback(self._stopped)
        return self._stop

    def _stopped(self, task: asyncio.Task[list[str]]) -> None:
        for problem in task.result():
            self._problem(f"instance {self.number}: {problem}")
