"""The processes of a run: started one after the other, each awaited, all ended together, the last one first.

Owns them and their logs. Whoever starts them has a single thread.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.client import answers
from bench.programs import PATH
from service.process.startup import StartupError
from tools.processes import Child

PROJECT = Path(__file__).parents[1]
READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0
POLL = 0.02
"""Seconds, all three."""

_NOT_INHERITED = ("ETCD_", "CACHE_", "CF_", "VCAP_", "HOST", "PORT", "USER_KEY_PREFIX", "LOG_LEVEL", "LEASE_TTL")


class Processes:
    """`close` ends them. Their logs are in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._end = contextlib.ExitStack()
        self._started = 0

    def close(self) -> None:
        """Returns when all have ended, killed if they must be."""
        self._end.close()

    def at_end(self, stop: Callable[[], object]) -> None:
        """For what was started by others."""
        self._end.callback(stop)

    def start(self, name: str, command: Sequence[str], ready: str = "", **settings: str) -> Child:
        """One more; returns when it answers at the URL `ready`. Raises StartupError with the end of its log."""
        self._started += 1
        log = self._directory / f"{self._started:02}-{name}.log"
        child = Child(name, ready, command, log, _environment(settings))
        self._end.callback(_stop, child)
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


def at(port: int) -> str:
    """The URL of what listens there."""
    return f"http://127.0.0.1:{port}"


def _stop(child: Child) -> None:
    child.ask_to_stop(signal.SIGTERM)
    child.wait(time.monotonic() + STOPPED_WITHIN)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's, without any setting of the service but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {**kept, "PATH": PATH, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **settings}
