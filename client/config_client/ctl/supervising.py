"""The common part of commands that run until they are told to end: signals, and a program that they start.

Owns the child process, which gets the signals that we get, and is waited for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from config_client.ctl.exits import INTERRUPTED


class Ending:
    """Whether SIGTERM or SIGINT has come, since this was made; it can be waited for."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._ends_at_once = False
        self._bell = threading.Event()
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGTERM, signal.SIGINT)}

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._bell.set()
        if self._ends_at_once:
            raise SystemExit(INTERRUPTED)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Within the block a signal ends us where we are: there is nothing yet that has to be brought to an end."""
        if self.signal is not None:
            raise SystemExit(INTERRUPTED)
        self._ends_at_once = True
        try:
            yield
        finally:
            self._ends_at_once = False

    def wake(self) -> None:
        """Something has happened: `wait` returns."""
        self._bell.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for a signal, or for `wake`; return whether to go on."""
        self._bell.wait(seconds)
        if self.signal is None:
            self._bell.clear()
        return self.signal is None

    def restore(self) -> None:
        """Leave signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Flag:
    """Whether something has changed since it was last asked; raised by any thread, which wakes who waits."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._raised = threading.Event()

    def raise_it(self, _: object = None) -> None:
        """It has."""
        self._raised.set()
        self._ending.wake()

    def lower(self) -> bool:
        """Return whether it was raised; it is not any more."""
        was = self._raised.is_set()
        self._raised.clear()
        return was


class Program:
    """A program that is started, restarted, signalled and ended. When it ends, `ending` is woken.

    ends_within: seconds that it may take to end, before it is killed.
    """

    def __init__(self, command: Sequence[str], ending: Ending, ends_within: float) -> None:
        self._command = list(command)
        self._ends_within = ends_within
        self._ending = ending
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it. Raises OSError: it can't be started."""
        process = self._process = subprocess.Popen(self._command, env={**os.environ, **environ})
        self._watcher = threading.Thread(target=self._watch, args=(process,), name="program", daemon=True)
        self._watcher.start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._ending.wake()

    @property
    def code(self) -> int | None:
        """Its exit code, as a shell tells it; None while it runs."""
        code = self._process.poll() if self._process else None
        return None if code is None else code if code >= 0 else 128 - code

    def send(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it, by force if it takes too long; return its exit code."""
        assert self._process is not None, "it was never started"
        self.send(number)
        try:
            self._process.wait(self._ends_within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._watcher is not None
        self._watcher.join()
        code = self.code
        assert code is not None, "it has been waited for"
        return code
