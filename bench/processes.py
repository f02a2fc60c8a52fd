"""The processes of a run: started one after the other, each awaited, asked, all ended together, the last one first.

Owns them and their logs, and how they are grouped: Linux shares the CPUs between sessions before it shares them between
processes (autogroup), so that a tail depends on it. The process that starts them has a single thread. Load does not
come from here (`bench.wrk`): a client is a plain one, on one kept connection.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from service.embedded_etcd.child import child_environment
from service.process.startup import StartupError
from tools.processes import Child

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
"""Debian keeps daemons where ordinary users don't look."""

PROJECT = Path(__file__).parents[1]
READY_WITHIN = 30.0
STOPPED_WITHIN = 10.0
POLL = 0.02
"""Seconds, all three."""


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
        while ready and not (answers(ready) and child.listens()):
            if child.exit_status() is not None or time.monotonic() > until:
                said = child.last_words(20)
                raise StartupError(f"{name} does not answer; exit status {child.exit_status()}:\n{said}")
            time.sleep(POLL)
        return child


def stop(child: Child) -> None:
    """Ends one; nothing when it has ended already."""
    child.ask_to_stop(signal.SIGTERM)
    child.wait(time.monotonic() + STOPPED_WITHIN)


def printed_by(module: str, *arguments: str, within: float = 60.0, own_session: bool = False, **settings: str) -> str:
    """What a Python program says on its way to its end. Raises subprocess.SubprocessError."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, env=_environment(settings), stdout=subprocess.PIPE, text=True, timeout=within, check=True,
        start_new_session=own_session,
    )  # fmt: skip
    return done.stdout


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Little of this process's, so that no setting of the service is among it but these."""
    return {**child_environment(), "PATH": PATH, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1", **settings}


def explain_missing(program: str) -> str | None:
    """None when it is there; else how to install it."""
    if shutil.which(program, path=PATH) is not None:
        return None
    return (
        f"{program} is not installed. On Debian and Ubuntu: apt-get install {program}; on macOS: brew install {program}"
    )


def say(text: str) -> None:
    """For whoever reads what this process prints; at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# --- where they are


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on. All are held at the same time, or one might be found twice."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def free_run(count: int) -> int:
    """The first of so many such ports in a row."""
    while True:
        (first,) = free_ports(1)
        with contextlib.suppress(OSError, OverflowError), contextlib.ExitStack() as held:
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def at(port: int) -> str:
    """The URL of what listens there."""
    return f"http://127.0.0.1:{port}"


# --- what they answer


class Client:
    """One connection to `url`, closed at the end of the `with`. Uses no proxy."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """Body and headers, their names in lower case. Raises OSError, or ValueError when it is no success."""
        kind = {"Content-Type": "application/json"} if body else {}
        self._connection.request(method, path, body, {**kind, **(headers or {})})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise ValueError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return content, {name.lower(): value for name, value in answer.getheaders()}


def get(url: str, timeout: float = 10.0) -> bytes:
    """What one GET is answered, on a connection of its own. Raises OSError, or ValueError when it is no success."""
    with Client(url, timeout) as client:
        return client.ask("GET", urlsplit(url).path)[0]


def answers(url: str) -> bool:
    """Whether a GET of it succeeds at this moment."""
    try:
        get(url, timeout=2.0)
    except (OSError, ValueError):
        return False
    return True


def has_slot(url: str) -> bool:
    """Whether the instance there is ready and may cache."""
    return answers(f"{url}/readyz") and json.loads(get(f"{url}/members"))["me"] is not None


class Metrics:
    """One scrape. It is not atomic: what is under way may be counted in part. Raises OSError, ValueError."""

    def __init__(self, url: str) -> None:
        lines = get(f"{url}/metrics").decode().splitlines()
        self._samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]

    def total(self, name: str, *labels: str) -> float:
        """The sum of the samples of that name which bear the labels, as `kind="touched"`; 0 when there are none."""
        named = ((sample, value) for sample, _, value in self._samples if sample.split("{")[0] == name)
        return sum(float(value) for sample, value in named if all(label in sample for label in labels))


def wait_for(claim: Callable[[], bool], within: float, what: str, every: float = POLL) -> None:
    """Returns when it holds; asks `every` so many seconds. Raises TimeoutError, saying what it waited for."""
    until = time.monotonic() + within
    while not claim():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within:g} s: {what}")
        time.sleep(every)
