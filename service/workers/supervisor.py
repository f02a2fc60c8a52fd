"""Starts the workers, starts again what ends, and ends all of them in order. Answers no request itself.

    start     the first one alone, until it serves: what is wrong with the settings is said once, and ends all; then the
              others, side by side
    a death   its place is empty until it is started again, after a pause (`service.workers.pace`); the others go on
    SIGHUP    one after another reads its files again
    SIGTERM   all say at once that they are not ready; then one after another drains and leaves, so that somebody takes
              new connections to the last

One task, which looks at everything some ten times a second; a signal wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from consistency.loop import end
from consistency.tasks import within
from service.embedded_etcd.shared import EmbeddedEtcd
from service.process.event_log import EventLog
from service.process.stopping import END_WITHIN, Stop
from service.workers.line import Quiet
from service.workers.pace import Pace
from service.workers.work import Work
from service.workers.worker_process import IN_ORDER, SILENT_FOR, Phase, WorkerProcess, reap_strangers

TICK = 0.1
"""Seconds between two looks."""

ALL_SERVE_WITHIN = 15.0
"""Seconds after the first one serves, in which systemd is not told yet that not all of them do."""

REREAD_WITHIN = 10.0
"""Seconds for one worker to read its files again, before the next one is told to."""

LEAST_SHARE = 1.0
"""Seconds that each worker has to end in order; where there is not so much for each, several end at once."""

FOR_THE_REST = 1.0
"""Seconds that are left for what comes after the workers, of END_WITHIN; an embedded etcd has its own."""

log = structlog.stdlib.get_logger("config.workers")


def supervise(work: Work, say: Callable[[str], None], stop: Stop) -> int:
    """Until a signal ends it; the exit code. Raises KeyboardInterrupt when one has come already."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_supervise(work, say, stop))
    finally:
        end(loop)


async def _supervise(work: Work, say: Callable[[str], None], stop: Stop) -> int:
    supervisor = Supervisor(work, say)
    stop.check()
    loop = asyncio.get_running_loop()

    def kill() -> None:
        supervisor.kill()
        if work.embedded:
            work.embedded.kill()

    stop.tell(lambda: loop.call_soon_threadsafe(supervisor.hear, stop), kill=kill)
    try:
        async with _guarded(work.embedded):
            return await supervisor.run()
    finally:
        stop.tell_nobody()
        supervisor.close()


@contextlib.asynccontextmanager
async def _guarded(embedded: EmbeddedEtcd | None) -> AsyncIterator[None]:
    if embedded is None:
        yield
        return
    embedded.guard(EventLog().observe)
    try:
        yield
    finally:
        await embedded.unguard()


class Supervisor:
    """Supervises the workers of one machine. Belongs to one loop; `run` once, then `close`."""

    def __init__(self, work: Work, say: Callable[[str], None]) -> None:
        self._work = work
        self._say = say
        self._notifier = work.notifier
        silent_for = 2 * work.notifier.alive_every or SILENT_FOR
        count = len(work.own)
        self._workers = [
            WorkerProcess(number, count, (work.held, own), work.environ, Pace(random.random), silent_for)
            for number, own in enumerate(work.own, 1)
        ]
        self._bell = asyncio.Event()
        self._stopping_since: float | None = None
        self._to_reread: deque[WorkerProcess] = deque()
        self._rereading: WorkerProcess | None = None
        self._reread_for = 0.0
        self._reread_asked = False
        self._around_rereading = contextlib.ExitStack()
        self._told_manager = ""
        self._first_for = 0.0
        self._alive_at = 0.0

    def hear(self, stop: Stop) -> None:
        """A signal has come."""
        if stop.asked:
            if self._stopping_since is None:
                self._stopping_since = time.monotonic()
                self._notifier.stopping()
                if self._work.embedded:
                    self._work.embedded.stand_back()
        elif stop.take_hangup():
            self._reread_asked = True
        self._bell.set()

    async def run(self) -> int:
        """Return the exit code when all have ended: because of a signal, or since the first one can't start."""
        first = self._workers[0]
        last = time.monotonic()
        while self._stopping_since is None:
            now = time.monotonic()
            passed, last = min(now - last, 2 * TICK), now
            for worker in self._workers if first.has_served else [first]:
                worker.look(passed)
            if first.phase is Phase.ENDING:  # it has said why
                return first.exit_code or 1
            self._reread(passed)
            self._tell_manager(passed)
            self._collect()
            await within(self._bell, TICK)
            self._bell.clear()
        return await self._end()

    def kill(self) -> None:
        """All of them, at once. A signal's handler may call it."""
        for worker in self._workers:
            worker.kill()

    def close(self) -> None:
        """Leave nothing behind."""
        self._around_rereading.close()
        for worker in self._workers:
            worker.close()

    # --- while it runs

    def _tell_manager(self, passed: float) -> None:
        """It is told that we serve when all do, or when some do and the others have had time enough."""
        if self._notifier.alive_every and (now := time.monotonic()) >= self._alive_at:
            self._alive_at = now + self._notifier.alive_every
            self._notifier.alive()
        serving = sum(worker.phase is Phase.SERVING for worker in self._workers)
        if not self._told_manager:
            self._first_for += passed if self._workers[0].has_served else 0.0
            if serving < len(self._workers) and not (serving and self._first_for > ALL_SERVE_WITHIN):
                return
        status = f"serving at {self._work.where}, {serving} of {len(self._workers)} workers"
        if status != self._told_manager:
            if self._told_manager:
                self._notifier.status(status)
            else:
                self._notifier.ready(status)
            self._told_manager = status
            log.info("workers", serving=serving, of=len(self._workers))

    def _reread(self, passed: float) -> None:
        """One after another: if what they read takes one of them down, the others still serve."""
        worker, self._reread_for = self._rereading, self._reread_for + passed
        if worker is not None:
            if worker.rereads and self._reread_for < REREAD_WITHIN:
                return
            if worker.rereads:
                worker.give_up_rereading()
                log.warning("a worker has not read its files again in time", worker=worker.number)
            self._rereading = None
        while self._to_reread:
            worker = self._to_reread.popleft()
            if worker.reread():  # one that is not there will read them when it starts
                self._rereading, self._reread_for = worker, 0.0
                return
        self._around_rereading.close()
        if self._reread_asked:
            self._reread_asked = False
            self._to_reread.extend(self._workers)
            self._around_rereading.enter_context(self._notifier.reloading())
            self._bell.set()

    def _collect(self) -> None:
        """With an embedded etcd, which is for development, nothing is collected: its end is somebody else's to see."""
        if self._work.embedded is None:
            reap_strangers({worker.pid for worker in self._workers if worker.pid})

    # --- the end

    async def _end(self) -> int:
        since = self._stopping_since or time.monotonic()
        self._around_rereading.close()
        for worker in self._workers:
            worker.say(Quiet())
        until = since + END_WITHIN - FOR_THE_REST - (self._work.etcd_end if self._work.embedded else 0.0)
        if any(worker.phase is Phase.SERVING for worker in self._workers):
            await asyncio.sleep(self._work.drain_wait)
        told = left = [worker for worker in self._workers if worker.lives]
        while left:
            rounds = max(1, min(len(left), int((until - time.monotonic()) / LEAST_SHARE)))
            share = max(0.0, until - time.monotonic()) / rounds
            together, left = left[: -(-len(left) // rounds)], left[-(-len(left) // rounds) :]
            for worker in together:
                worker.end(share)
            await self._ended(together, time.monotonic() + share)
        late = [worker for worker in self._workers if worker.lives]
        for worker in late:
            log.warning("a worker is killed", worker=worker.number, pid=worker.pid, reason="it did not end in time")
        return 1 if late or any(worker.exit_code not in IN_ORDER for worker in told) else 0

    async def _ended(self, workers: Sequence[WorkerProcess], until: float) -> None:
        """Return when they have ended, or at that time."""
        while any(worker.lives for worker in workers) and time.monotonic() < until:
            for worker in self._workers:
                if worker.lives:
                    worker.look(0.0)
            await asyncio.sleep(TICK / 5)
