"""The embedded etcd of a directory: the first instance starts it and owns it, later ones share it.

Owns its life, from `start` to `stop`. While it is guarded, an etcd that ends is started again, at the same address; and
when its owner is gone, one of those who share it takes it over. The lock on `etcd_file` decides who owns it.

An etcd that does not come up is tried again for ever, at growing intervals: a full disk lasts until somebody makes
room, and then nobody should have to know that this service must be started again, too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from consistency.core.events import Observer
from consistency.tasks import Worker
from service.embedded_etcd.binary import EtcdNotFound, find_etcd
from service.embedded_etcd.child import EtcdProcess, launched
from service.embedded_etcd.file import EtcdFile, RunningEtcd
from service.embedded_etcd.others import can_be_joined, end, find_owned, find_running, is_etcd_of, refuse_open_door
from service.process.startup import StartupError

__all__ = ["EmbeddedEtcd", "EtcdNotFound", "RunningEtcd", "find_etcd", "find_owned", "find_running"]

START_WITHIN = 30.0
"""Seconds until an etcd has to answer; replaying a long log takes some."""

POLL = 0.05

LOOK = 0.25
"""Seconds between two looks of the owner whether its etcd lives."""

LOOK_AT_OWNER = 1.0
"""Seconds between two looks of who shares it whether there is still an owner."""

FIRST_PAUSE = 0.5
LAST_PAUSE = 15.0
"""Seconds before an etcd that ended is started again, at first and at most; doubled each time."""

WELL_AFTER = 60.0
"""Seconds for which an etcd has to live to count as well: then the pauses begin anew."""

GUARD_ENDS_WITHIN = 1.0
"""Seconds for a task that is cancelled, and may have to end an etcd that has just been started."""

log = structlog.stdlib.get_logger("config.etcd")


class EmbeddedEtcd:
    """The etcd whose data is in `directory`/etcd. `start` once, `stop` once, from one thread.

    On Linux etcd dies with the thread that started it: with the one that called `start`, and later with the one whose
    loop has the guard. Both are the main thread of an instance.
    """

    def __init__(self, directory: Path, tell: Callable[[str], None]) -> None:
        self._directory = _absolute(directory)
        self._data = self._directory / "etcd"
        self._log = self._directory / "etcd.log"
        self._tell = tell
        self._file: EtcdFile | None = None
        self._running: RunningEtcd | None = None
        self._process: EtcdProcess | None = None  # None: another process owns it
        self._pause = FIRST_PAUSE
        self._up_since = 0.0
        self._guard: Worker | None = None
        self._on_end: Callable[[], object] = lambda: None

    def start(self, check: Callable[[], object] = lambda: None) -> RunningEtcd:
        """Starts the etcd, or joins the one that is running. Raises StartupError, EtcdNotFound, and what check raises.

        check: called while we wait, which is longer than who wants to stop would.
        """
        return asyncio.run(self._start(check))

    def guard(self, observer: Observer, on_end: Callable[[], object] = lambda: None) -> None:
        """Start it again whenever it ends from now on, by a task of the running loop. Call it after `start`.

        on_end: called each time that ours did.
        """
        self._on_end = on_end
        self._guard = Worker("embedded-etcd", self._look, observer)
        self._guard.start()

    def stand_back(self) -> None:
        """We are about to stop: from now on nothing is started again or taken over. On the guard's loop."""
        if self._guard is not None:
            self._guard.cancel()

    async def unguard(self) -> None:
        """`stand_back`, and wait for the end of the task. Before `stop`. Raises RuntimeError if it does not come."""
        self.stand_back()
        if self._guard is not None and not await self._guard.ended(GUARD_ENDS_WITHIN):
            raise RuntimeError("the guard of the embedded etcd did not end")

    def trouble(self) -> str:
        """What became of it, and what is being done about it; empty while it runs. Asks nobody."""
        running = self._running
        return running.trouble if running else ""

    def stop(self, within: float) -> None:
        """Ends the etcd if it is ours, in `within` seconds at most; a shared one goes on. Waits: not for a loop."""
        if self._process is not None:
            self._process.stop(within)
        if self._file is not None:
            if self._process is not None:
                self._file.write(None)
            self._file.close()
        self._file = self._process = self._running = None

    def kill(self) -> None:
        """Ends it at once, if it is ours, when there is no time left for `stop`. A signal's handler may call it."""
        if self._process is not None:
            self._process.kill()

    # --- the start

    async def _start(self, check: Callable[[], object]) -> RunningEtcd:
        self._file = file = self._open()
        deadline = time.monotonic() + START_WITHIN
        try:
            while not file.try_lock():
                if (running := file.read()) and await can_be_joined(running, self._data):
                    await refuse_open_door(running)
                    self._running = running
                    return running
                if time.monotonic() > deadline:
                    raise StartupError(self._words_for_mute_owner(file.read()))
                check()
                await asyncio.sleep(POLL)
            return await self._own(file, check)
        except OSError as error:
            self._let_go(file)
            raise self._unusable(error) from error
        except BaseException:
            self._let_go(file)
            raise

    def _let_go(self, file: EtcdFile) -> None:
        file.close()
        self._file = None

    def _open(self) -> EtcdFile:
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(self._data, os.W_OK | os.X_OK):
                raise PermissionError(0, "Permission denied")
            return EtcdFile(self._directory)
        except OSError as error:
            raise self._unusable(error) from error

    async def _own(self, file: EtcdFile, check: Callable[[], object]) -> RunningEtcd:
        """We are alone with this directory as long as we hold the lock, but for an etcd that outlived its owner."""
        program = find_etcd()
        await self._end_orphan(file)
        file.write(None)
        self._tell(f"starting {program} on {self._data}")
        return self._now_runs(await launched(program, self._data, self._log, within=START_WITHIN, check=check))

    async def _end_orphan(self, file: EtcdFile) -> None:
        if (former := file.read()) and is_etcd_of(former.pid, self._data):
            self._tell(f"ending the etcd that an earlier run has left behind (process {former.pid})")
            await end(former.pid)

    def _now_runs(self, process: EtcdProcess) -> RunningEtcd:
        self._process = process
        self._up_since = time.monotonic()
        return self._say(
            RunningEtcd(
                process.endpoint,
                process.version,
                process.pid,
                os.getpid(),
                name=process.name,
                member=process.member,
            )
        )

    def _say(self, running: RunningEtcd) -> RunningEtcd:
        """To ourselves and, in the file, to others."""
        self._running = running
        if self._file is not None:
            try:
                self._file.write(running)
            except OSError as error:  # they see what stands there, and that nothing answers
                log.warning("etcd.json can't be written", reason=str(error.strerror))
        return running

    def _unusable(self, error: OSError) -> StartupError:
        """Also a lock that can't be taken, a log that can't be written: all of it is in one directory."""
        where = "" if error.filename in (None, str(self._data)) else f" ({error.filename})"
        reason = f"{error.strerror or error}{where}"
        return StartupError(
            f"the embedded etcd can't keep its data in {self._data}: {reason}. Expected a directory "
            "that this user may write, with all that is in it. Make it so, or set ETCD_ENDPOINTS to use another etcd, "
            "for example ETCD_ENDPOINTS=http://10.0.0.1:2379"
        )

    def _words_for_mute_owner(self, running: RunningEtcd | None) -> str:
        who = f"process {running.owner}" if running else "another process"
        why = f" ({running.trouble})" if running and running.trouble else ""
        return (
            f"{who} uses {self._data}, but its etcd does not answer after {START_WITHIN:.0f} s{why}. "
            f"See {self._log}, and end that process, or start in another directory"
        )

    # --- the guard, a task

    async def _look(self, worker: Worker) -> None:
        """One look, over and over. It is cancelled at a stop, and then leaves an etcd that runs to `stop`."""
        if self._process is None:
            await worker.pause(LOOK_AT_OWNER)
            await self._look_at_owner(worker)
        else:
            await worker.pause(LOOK)
            if (code := self._process.exit_code()) is not None:
                await self._begin_again(worker, self._process.why_it_ended(code))

    async def _look_at_owner(self, worker: Worker) -> None:
        """1. The owner ends, and its etcd with it.  2. The kernel gives the lock back.  3. One of us takes it."""
        file, last = self._file, self._running
        assert file is not None, "it was started"
        assert last is not None, "and is not stopped"
        if not file.try_lock():
            self._running = file.read() or last
            return
        await self._end_orphan(file)
        self._say(replace(last, owner=os.getpid()))
        await self._begin_again(worker, f"its owner, process {last.owner}, ended")

    async def _begin_again(self, worker: Worker, why: str) -> None:
        """Return when it runs again."""
        running = self._running
        assert running is not None, "there was one"
        if self._process is not None:
            self._on_end()
        if time.monotonic() - self._up_since > WELL_AFTER:
            self._pause = FIRST_PAUSE
        while True:
            said = f"the embedded etcd is down: {why}; it is started again in {self._pause:g} s"
            running = self._say(replace(running, trouble=said))
            log.warning("the embedded etcd is down", reason=why, again_in=self._pause)
            await worker.pause(self._pause)
            self._pause = min(2 * self._pause, LAST_PAUSE)
            try:
                process = await launched(
                    find_etcd(), self._data, self._log, within=START_WITHIN, again_at=running.address
                )
            except (StartupError, OSError) as error:
                why = str(error).partition("\n")[0]
                continue
            self._now_runs(process)
            log.info("the embedded etcd runs again", pid=process.pid)
            return


def _absolute(directory: Path) -> Path:
    try:
        return directory.absolute()
    except OSError as error:
        raise StartupError(
            f"the working directory is gone or closed to this user: {error.strerror}. Expected one in which "
            f"{directory} can be kept. Start in another directory"
        ) from error
