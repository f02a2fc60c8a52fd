"""What a signal means before the server takes them over, and the deadline of every end.

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

EXIT_CODE = 130
STOPPED = "stopped while starting"

_TO_STOP = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """From now on a signal ends the process: nothing has been started yet that would have to be ended first."""
    for number in _TO_STOP:
        signal.signal(number, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, _end_unless_file)


def _end(_signum: int, _frame: FrameType | None) -> None:
    _say(STOPPED)
    os._exit(EXIT_CODE)


def _end_unless_file(signum: int, frame: FrameType | None) -> None:
    """SIGHUP: the wish to have the tokens' file read again, which is yet to be read; without one, a closed terminal."""
    if not os.environ.get("API_TOKENS_FILE"):
        _end(signum, frame)


class EarlyStop:
    """The wish to stop while the service starts: remembered, and acted upon between the steps.

    An exception raised by the handler itself could be lost: where Python runs callbacks of its own, such as those after
    a fork, it prints what is raised there and goes on.
    """

    def __init__(self) -> None:
        self._asked = False
        self._reads_again = False
        self.hung_up = False
        for number in _TO_STOP:
            signal.signal(number, self._remember)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._remember_hangup)

    @property
    def asked(self) -> bool:
        """Whether the process is to end."""
        return self._asked or (self.hung_up and not self._reads_again)

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has come."""
        if self.asked:
            limit_the_end()
            raise KeyboardInterrupt

    def mind_hangup(self) -> None:
        """SIGHUP asks for the tokens to be read again, as soon as there is a server; else it is a closed terminal."""
        self._reads_again = True

    def _remember_hangup(self, _signum: int, _frame: FrameType | None) -> None:
        self.hung_up = True

    def _remember(self, _signum: int, _frame: FrameType | None) -> None:
        self._asked = True
        limit_the_end()


def limit_the_end(kill: Callable[[], object] | None = None) -> None:
    """From now on the process has END_WITHIN seconds left, whatever hangs. A second call changes nothing.

    kill: ends what would outlive the process.
    """

    def give_up(_signum: int, _frame: FrameType | None) -> None:
        _say(f"not stopped within {END_WITHIN:g} s, giving up")
        if kill is not None:
            kill()
        os._exit(1)

    if signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0):
        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, END_WITHIN)


def _say(text: str) -> None:
    """On standard error, unless nobody reads there, which may be what hangs."""
    try:
        if select.select([], [sys.stderr], [], 0)[1]:
            os.write(sys.stderr.fileno(), f"config-service: {text}\n".encode())
    except (OSError, ValueError, TypeError, AttributeError):
        return  # it is closed
