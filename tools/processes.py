"""One child process with a log file. Owns the process: only what was started here is ever ended, and by its id."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KILLED_WITHIN = 2.0
"""Seconds in which the kernel has to take away a killed process."""

_PR_SET_PDEATHSIG = 1


class Child:
    """A process that runs from construction to `wait`. Its output goes to `log`, which begins anew.

    It gets a process group of its own: Ctrl-C in a terminal signals everybody in the foreground at once, and then the
    order of stopping would be anybody's. On Linux it is told to stop if the starting thread ends, even by kill -9.
    """

    def __init__(
        self,
        name: str,
        address: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        *,
        own_session: bool = False,
    ) -> None:
        """`own_session`: it doesn't stay in ours, as if started from a terminal of its own."""
        self.name = name
        self.address = address
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=None if own_session else 0,
                start_new_session=own_session,
                preexec_fn=_stop_with(os.getpid()),  # noqa: PLW1509  # nobody here has a second thread
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_status(self) -> int | None:
        """None while it runs; the negative signal if one ended it."""
        return self._process.poll()

    def ask_to_stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Sends the signal; nothing when it has ended already."""
        self._process.send_signal(how)

    def wait(self, until: float) -> bool:
        """Waits for the end up to `until` (monotonic seconds), then kills; whether it ended by itself."""
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(KILLED_WITHIN)
            return False
        return True

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for whoever asks why it ended."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _stop_with(parent: int) -> Callable[[], None] | None:
    """What a new process asks the kernel for, before it becomes the program: a SIGTERM when `parent` is gone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return ask_kernel
