"""One worker as its supervisor sees it: the process that it is now, what that has said, and when it is started again.

Does what it is told at each `look`; waits for nothing, and knows no loop. Time is handed to it, and never runs faster
than it is looked at: after a pause of the whole machine nobody looks as if they had been silent all the while.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import Enum

import structlog

from service.process.stopping import EXIT_CODE
from service.workers import line, place
from service.workers.line import Word
from service.workers.pace import Pace

START_WITHIN = 60.0
"""Seconds until a worker has to serve; else it is started anew."""

SILENT_FOR = 20.0
"""Seconds of silence after which a worker that serves counts as hung, unless systemd wants to hear more often."""

SPEAKS_IN = 4
"""It speaks so many times within that."""

IN_ORDER = (0, EXIT_CODE, -signal.SIGTERM, -signal.SIGINT)
"""Exit codes of a worker that was told to end: the second one before it served, the others before it had handlers."""

log = structlog.stdlib.get_logger("config.workers")


class Phase(Enum):
    """What it is doing."""

    DOWN = "down"
    STARTING = "starting"
    SERVING = "serving"
    ENDING = "ending"


class WorkerProcess:
    """The worker of one place. `end` is final, and so is a first start of worker 1 that fails.

    silent_for: seconds; a worker that serves and says nothing for so long is killed.
    """

    def __init__(
        self,
        number: int,
        of: int,
        ports: tuple[socket.socket, socket.socket],
        environ: Mapping[str, str],
        pace: Pace,
        silent_for: float = SILENT_FOR,
    ) -> None:
        """ports: that of all, and its own. environ: the supervisor's as it was, with the secrets."""
        self.number = number
        self._of = of
        self._ports = ports
        self._environ = environ
        self._pace = pace
        self._silent_for = silent_for
        self._child: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._lived = self._silence = self._down_for = 0.0
        self._pause = 0.0
        self._rereads = self._killed = False
        self.phase = Phase.DOWN
        self.has_served = False
        """Whether it ever came so far, in any life."""
        self.exit_code: int | None = None
        """The exit code of its last process."""

    @property
    def pid(self) -> int | None:
        """The number of its process, if it has one."""
        return self._child.pid if self._child else None

    @property
    def own_port(self) -> int:
        """The one at which it alone is reached."""
        return int(self._ports[1].getsockname()[1])

    @property
    def lives(self) -> bool:
        """Whether there is a process."""
        return self._child is not None

    @property
    def rereads(self) -> bool:
        """Whether it has been told to read its files again, and has not yet said that it has."""
        return self._rereads

    def look(self, passed: float) -> None:
        """See what has become of it in so many seconds; start it, if it is time."""
        self._hear()
        if self._child is None:
            self._down_for += passed
            if self.phase is Phase.DOWN and self._down_for >= self._pause:
                self._start()
            return
        self._lived += passed
        self._silence += passed
        if (code := self._child.poll()) is not None:
            self._has_ended(code)
        elif self.phase is Phase.STARTING and self._lived > START_WITHIN:
            self._kill_because(f"it does not serve after {START_WITHIN:g} s")
        elif self.phase is Phase.SERVING and self._silence > self._silent_for:
            self._kill_because(f"it hangs: it has said nothing for {self._silent_for:g} s")

    def reread(self) -> bool:
        """Have it read its files again; whether it can be asked. See `rereads`."""
        if self.phase is not Phase.SERVING or self._child is None:
            return False
        self._rereads = True
        self._child.send_signal(signal.SIGHUP)
        return True

    def give_up_rereading(self) -> None:
        """It has not said that it has read its files in time."""
        self._rereads = False

    def say(self, word: Word) -> None:
        """Tell it something, if it is there."""
        if self._line is not None:
            with contextlib.suppress(OSError):  # it has just ended
                self._line.send(line.said(word))

    def end(self, within: float) -> None:
        """Have it end in order, in so many seconds. From now on it is not started again."""
        if self._child is not None and self.phase is Phase.STARTING:
            self._child.terminate()  # it does not listen yet, and has nothing to finish
        self.phase = Phase.ENDING
        self.say(line.End(within))

    def kill(self) -> None:
        """End it at once. A signal's handler may call it."""
        if self._child is not None:
            self._child.kill()

    def close(self) -> None:
        """Kill what there is, and wait for that."""
        self.phase = Phase.ENDING
        self._killed = True
        if self._child is not None:
            self._child.kill()
            self._has_ended(self._child.wait())

    def _start(self) -> None:
        ours, theirs = line.pair()
        with theirs:
            files = (theirs.fileno(), self._ports[0].fileno(), self._ports[1].fileno())
            introduces = self.number == 1 and not self.has_served
            told = place.words(self.number, self._of, files, self._silent_for / SPEAKS_IN, introduces=introduces)
            try:
                child = subprocess.Popen(
                    _command(),
                    env={**self._environ, place.VARIABLE: told},
                    stdin=subprocess.DEVNULL,
                    pass_fds=files,
                    start_new_session=True,  # what a terminal says to all of us, the supervisor alone is to hear
                )
            except OSError as error:  # no memory, no process: that may pass
                ours.close()
                self._again(f"it can't be started: {error.strerror}")
                return
        self._child, self._line = child, ours
        self._lived = self._silence = 0.0
        self._killed = False
        self.phase = Phase.STARTING

    def _hear(self) -> None:
        while self._line is not None:
            try:
                message = self._line.recv(line.LONGEST)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                return  # it is about to end, or has
            self._silence = 0.0
            said = message.decode().splitlines()
            if "RELOADING=1" in said:
                self._rereads = True
            elif "READY=1" in said:
                self._rereads = False
                if self.phase is Phase.STARTING:
                    self.phase, self.has_served = Phase.SERVING, True

    def _has_ended(self, code: int) -> None:
        if self._line is not None:
            self._line.close()
        pid = self.pid
        self._child = self._line = None
        self._rereads = False
        self.exit_code = code
        if self.phase is Phase.ENDING:
            if code not in IN_ORDER and not self._killed:
                log.warning("a worker did not end in order", worker=self.number, pid=pid, reason=_words_for(code))
            return
        if self.number == 1 and not self.has_served and code > 0:
            self.phase = Phase.ENDING  # it has said why it can't start, and the others could no more
            return
        self._again(_words_for(code), pid)

    def _again(self, why: str, pid: int | None = None) -> None:
        self.phase, self._down_for = Phase.DOWN, 0.0
        self._pause = self._pace.pause_after(self._lived)
        log.warning(
            "a worker is down",
            worker=self.number,
            pid=pid,
            reason=why,
            again_in=round(self._pause, 1),
            in_a_row=self._pace.in_a_row,
        )

    def _kill_because(self, why: str) -> None:
        if not self._killed:
            log.warning("a worker is killed", worker=self.number, pid=self.pid, reason=why)
        self._killed = True
        self.kill()


def _command() -> Sequence[str]:
    """What this process was started by, arguments and all."""
    return [sys.executable, *sys.orig_argv[1:]]


def _words_for(code: int) -> str:
    if code >= 0:
        return f"it ended by itself, with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was ended by {name}" + (" (no memory left?)" if -code == signal.SIGKILL else "")


def reap_strangers(ours: set[int]) -> None:
    """As process 1 of a container: collect the processes that others left behind. Ours collect themselves."""
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in ours:
                return  # first comes what we have not looked at yet
            os.waitpid(found.si_pid, os.WNOHANG)
