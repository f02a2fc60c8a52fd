"""Tells whoever supervises this process how far it is, in the words of systemd's sd_notify(3).

Owns one datagram socket: systemd's (`NOTIFY_SOCKET`), or the one that a supervisor of ours hands to its worker. Where
there is none, nothing is told. Never waits, and never fails whoever tells something: what can't be told is logged once.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, MutableMapping

import structlog

log = structlog.stdlib.get_logger("config.process")

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """What the supervisor is told. `told`: a connected socket; None if there is no supervisor."""

    def __init__(self, told: socket.socket | None = None, *, watchdog: float = 0.0) -> None:
        """watchdog: seconds within which the supervisor wants to hear `alive` again; 0 if it does not."""
        self._told = told
        self._is_ready = self._failed = False
        self.alive_every = watchdog / 2
        """Seconds between two calls of `alive`; 0: nobody waits for them."""

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str], pid: int) -> Notifier:
        """The one that systemd has named in the environment, which it is taken out of: it means this process alone."""
        address, microseconds, meant = (environ.pop(name, "") for name in VARIABLES)
        if not address:
            return cls()
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            told.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            log.warning("NOTIFY_SOCKET is set, but can't be used", reason=error.strerror)
            told.close()
            return cls()
        wanted = microseconds.isdecimal() and meant in ("", str(pid))
        return cls(told, watchdog=int(microseconds) / 1e6 if wanted else 0.0)

    @classmethod
    def of_worker(cls, line: socket.socket, speaks_every: float) -> Notifier:
        """The one of a worker, whose supervisor listens on this line, and wants to hear it so often (seconds)."""
        return cls(line, watchdog=2 * speaks_every)

    def ready(self, status: str = "") -> None:
        """It serves. status: one line for people."""
        self._is_ready = True
        self._tell("READY=1", f"STATUS={status}" if status else "")

    def status(self, status: str) -> None:
        """It serves, and this has changed: one line for people."""
        self._tell(f"STATUS={status}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Within the block it reads again what can be read again. Nobody is told before it serves."""
        told = self._is_ready
        if told:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            yield
        finally:
            if told:
                self._tell("READY=1")

    def stopping(self) -> None:
        """It has been told to stop, and ends."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The loop turns. A supervisor that waits for this and does not hear it kills the process."""
        self._tell("WATCHDOG=1")

    def close(self) -> None:
        """Any more."""
        if self._told is not None:
            self._told.close()
            self._told = None

    def _tell(self, *assignments: str) -> None:
        if self._told is None:
            return
        self._told.setblocking(False)
        try:
            self._told.send("\n".join(filter(None, assignments)).encode())
        except OSError as error:  # its queue is full, or it has gone
            if not self._failed:
                log.warning("the supervisor can't be told how far this process is", reason=error.strerror)
            self._failed = True
