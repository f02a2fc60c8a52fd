"""What a signal means, from the first moment of the process to its last, and the deadline of every end.

As process 1 of a container a process hears no signal that it has no handler for: the kernel drops SIGTERM, and the
platform kills after its ten seconds. So this is loaded first, before what takes time, and loads nothing that does.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from types import FrameType

END_WITHIN = 9.0
"""Seconds from the signal to the end of the process, whatever hangs: platforms kill it after ten."""

LEAST = 0.2
"""Seconds that there are at least, however few a supervisor gives."""

EXIT_CODE = 130
STOPPED = "stopped while starting"

_READ_AGAIN = ("API_TOKENS_FILE", "TLS_CERT")
"""Settings that may name files which SIGHUP has read again."""

_TO_STOP = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Let a signal end the process from now on: nothing has been started yet that would have to be ended first."""
    for number in _TO_STOP:
        signal.signal(number, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _end_unless_file)


def _end(_signum: int, _frame: FrameType | None) -> None:
    _say(STOPPED)
    os._exit(EXIT_CODE)


def _end_unless_file(signum: int, frame: FrameType | None) -> None:
    """SIGHUP: the wish to have files read again, which are yet to be read; without any, a closed terminal."""
    if not any(os.environ.get(name) for name in _READ_AGAIN):
        _end(signum, frame)


class Stop:
    """The wish to stop, from the first step of the start to the end of the process: remembered by handlers of ours.

    Acted upon between the steps of the start (`check`), then by the loop, which is told (`tell`). The handler itself
    only sets the deadline and passes the word on:

        1. An exception raised by it could be lost: where Python runs callbacks of its own, such as those after a fork,
           it prints what is raised there and goes on.
        2. What the loop does for a signal waits for the loop. If that is held, nothing but the deadline ends it.
        3. A loop that closes sets each signal of its own back to what ends the process, with the etcd still to stop.
    """

    def __init__(self) -> None:
        self._asked = self._hung_up = self._reads_again = False
        self.within = END_WITHIN
        """Seconds from the wish to the end of the process."""
        self._told: Callable[[], object] = _nobody
        self._kill: Callable[[], object] = _nobody
        for number in _TO_STOP:
            signal.signal(number, self._remember)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._remember_hangup)

    @property
    def asked(self) -> bool:
        """Whether the process is to end."""
        return self._asked or (self._hung_up and not self._reads_again)

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has come."""
        if self.asked:
            self._limit()
            raise KeyboardInterrupt

    def mind_hangup(self) -> None:
        """SIGHUP asks for files to be read again, as soon as there is a server; else it is a closed terminal.

        Under nohup, too, which ignores what a terminal says when it is closed.
        """
        self._reads_again = True
        signal.signal(signal.SIGHUP, self._remember_hangup)

    def ask(self, within: float | None) -> None:
        """Wish to stop, as a signal does it, within so many seconds; None: END_WITHIN. A supervisor asks so."""
        if not self._asked and within is not None:
            self.within = max(LEAST, min(within, END_WITHIN))
        self._asked = True
        self._limit()
        self._told()

    def take_hangup(self) -> bool:
        """Whether files are to be read again; once for each time that this was asked for."""
        if not (self._hung_up and self._reads_again):
            return False
        self._hung_up = False  # before they are read: who changes them later hangs up once more
        return True

    def tell(self, told: Callable[[], object], kill: Callable[[], object]) -> None:
        """Call `told` at each signal from now on, by its handler, and once now: a signal may have come before.

        kill: ends what would outlive the process, when that is given up.
        """
        self._told, self._kill = told, kill
        if self.asked:
            self._limit()
        told()

    def tell_nobody(self) -> None:
        """Any more."""
        self._told = _nobody

    def _remember(self, _signum: int, _frame: FrameType | None) -> None:
        self.ask(None)

    def _remember_hangup(self, _signum: int, _frame: FrameType | None) -> None:
        self._hung_up = True
        if self._told is not _nobody and self.asked:  # before, it isn't known yet what it means
            self._limit()
        self._told()

    def _limit(self) -> None:
        """Give the process `within` seconds from now on, whatever hangs. A second call changes nothing."""
        if signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0):
            signal.signal(signal.SIGALRM, self._give_up)
            signal.setitimer(signal.ITIMER_REAL, self.within)

    def _give_up(self, _signum: int, _frame: FrameType | None) -> None:
        _say(f"not stopped within {self.within:.3g} s, giving up")
        self._kill()
        os._exit(1)


def _nobody() -> None:
    """Takes the place of a listener before there is a loop, and after."""


def _say(text: str) -> None:
    """On standard error, unless nobody reads there, which may be what hangs."""
    try:
        if select.select([], [sys.stderr], [], 0)[1]:
            os.write(sys.stderr.fileno(), f"config-service: {text}\n".encode())
    except (OSError, ValueError, TypeError, AttributeError):
        return  # it is closed
