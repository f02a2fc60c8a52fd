"""The processes of a run: started one after the other, each awaited, all ended together, the last one first.

Owns them and their logs, and how they are grouped: Linux shares the CPUs between sessions before it shares them between
processes (autogroup), so that a tail depends on it. The process that starts them has a single thread.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.client import answers
from service.process.startup import StartupError
from tools.processes import Child

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
"""Debian keeps daemons where ordinary users don't look."""

PROJECT = Path(__file__).parents[1]
READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0
POLL = 0.02
"""Seconds, all three."""

_NOT_INHERITED = (
    "ETCD_",
    "GRANIAN_",
    "CACHE_",
    "CF_",
    "VCAP_",
    "HOST",
    "PORT",
    "WORKER",
    "USER_KEY_PREFIX",
    "LOG_LEVEL",
    "LEASE_TTL",
)


class Processes:
    """`close` ends them. Their logs are in `directory`. `own_sessions`: each has one, else all are in ours."""

    def __init__(self, directory: Path, *, own_sessions: bool = False) -> None:
        self.own_sessions = own_sessions
        self._directory = directory
        self._end = contextlib.ExitStack()
        self._started = 0

    def close(self) -> None:
        """Returns when all have ended, killed if they must be."""
        self._end.close()

    def start(self, name: str, command: Sequence[str], ready: str = "", **settings: str) -> Child:
        """One more; returns when it answers at the URL `ready`. Raises StartupError with the end of its log."""
        self._started += 1
        log = self._directory / f"{self._started:02}-{name}.log"
        child = Child(name, ready, command, log, _environment(settings), own_session=self.own_sessions)
        self._end.callback(stop, child)
        until = time.monotonic() + READY_WITHIN
        while ready and not answers(ready):
            if child.exit_status() is not None or time.monotonic() > until:
                said = child.last_words(20)
                raise StartupError(f"{name} does not answer; exit status {child.exit_status()}:\n{said}")
            time.sleep(POLL)
        return child


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_run(count: int) -> int:
    """The first of so many such ports in a row."""
    while True:
        first = free_port()
        with contextlib.suppress(OSError, OverflowError), contextlib.ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def at(port: int) -> str:
    """The URL of what listens there."""
    return f"http://127.0.0.1:{port}"


def stop(child: Child) -> None:
    """Ends one; nothing when it has ended already."""
    child.ask_to_stop(signal.SIGTERM)
    child.wait(time.monotonic() + STOPPED_WITHIN)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, without any setting of the service but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {**kept, "PATH": PATH, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **settings}


def explain_missing(program: str) -> str | None:
    """None when it is there; else how to install it."""
    if shutil.which(program, path=PATH) is not None:
        return None
    return (
        f"{program} is not installed. On Debian and Ubuntu: apt-get install {program}; on macOS: brew install {program}"
    )
