"""One instance of an app, run as a cell of Cloud Foundry runs it.

By a shell, in the app's directory, with nothing but the platform's environment; told to stop by SIGTERM and killed ten
seconds later; held to its memory. Owns the process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from tests.load.locust_run import ROOT
from tests.platform import apps
from tests.platform.apps import App
from tests.support.etcd import dying_with_us
from tools.processes import listens

STOP_WITHIN = 10.0
"""Seconds from SIGTERM to SIGKILL."""

MEGABYTE = 1024  # in the kernel's unit, kB


@dataclass(frozen=True, slots=True)
class End:
    """How an instance ended: exit code, seconds since SIGTERM, and the most memory it ever had, in MB."""

    code: int
    seconds: float
    megabytes: int


class Container:
    """One instance. As a context manager it is started, and ended by force if nobody has stopped it."""

    def __init__(self, app: App, port: int, environment: dict[str, str], log: Path) -> None:
        self.port = port
        self.log = log
        self._app = app
        self._environment = environment
        self._asked = 0.0
        self._most = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> Self:
        """Starts it, without waiting."""
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                dying_with_us(["/bin/sh", "-c", self._app["command"]]),
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        return self

    @property
    def url(self) -> str:
        """Where the platform's checks and its router reach it."""
        return f"http://127.0.0.1:{self.port}"

    def passes(self, check: str) -> bool:
        """Whether it passes its "health-check" or its "readiness-health-check" now, in the time that the app gives it.

        Raises AssertionError when it has ended without being told to, or has more memory than it may.
        """
        assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.printed()}"
        self._weigh()
        within = self._app.get(f"{check}-invocation-timeout", 1)
        try:
            code = requests.get(self.url + self._app[f"{check}-http-endpoint"], timeout=within).status_code
        except requests.RequestException:
            return False
        return code == 200 and listens(self.process.pid, self.port)

    def wait_until(self, check: str) -> None:
        """Until it passes. Raises AssertionError with its log when that takes longer than the app's `timeout`."""
        until = time.monotonic() + self._app["timeout"]
        while not self.passes(check):
            assert time.monotonic() < until, f"{check} fails:\n{self.printed()}"
            time.sleep(0.1)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._weigh()
        self._asked = time.monotonic()
        self.process.terminate()

    def wait(self) -> End:
        """Until it has ended; ten seconds after it was asked to, it is killed."""
        self._weigh()
        try:
            self.process.wait(max(0.0, self._asked + STOP_WITHIN - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
        return End(self.process.returncode, time.monotonic() - self._asked, self._most)

    def kill(self) -> None:
        """SIGKILL to it and to what it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(5)

    def printed(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def _weigh(self) -> None:
        """Looks at the most memory that it has ever had: the kernel keeps the mark. Nothing when it has just ended."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        marks = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
        self._most = max(self._most, *(mark // MEGABYTE for mark in marks), 0)
        assert self._most <= apps.megabytes(self._app), f"{self._most} MB: out of memory, killed"
