"""The load: wrk, one thread, as many connections as asked for. Owns its command line and the reading of what it prints.

Refuses to count failures: an answer that is no success, or a broken connection, ends the measurement.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LUA = Path(__file__).parent / "lua"
GRACE = 30
"""Seconds that wrk may take beyond the time it measures."""

_FACTOR = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


class Failed(Exception):
    """There is no figure; the message has what wrk said."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. rate: requests/s. p99: ms, of all requests. printed: all that wrk, or its script, said."""

    rate: float
    p99: float
    printed: str


def run(url: str, *, seconds: int, connections: int = 16, script: str = "", given: Sequence[str] = ()) -> Load:
    """Keeps `connections` busy for that long. `script` is a file in lua/, `given` its arguments. Raises Failed."""
    command = _command(url, seconds, connections, script, given)
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE, check=False)
    try:
        if done.returncode:
            raise Failed(done.stderr or done.stdout)
        return read(done.stdout)
    except Failed as failed:
        raise Failed(f"{' '.join(command)}: {failed}") from None


@contextmanager
def busy(url: str, *, at_most: int, connections: int, script: str = "", given: Sequence[str] = ()) -> Iterator[None]:
    """While inside, and for `at_most` seconds, the connections are busy. Nothing is measured."""
    command = _command(url, at_most, connections, script, given)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def _command(url: str, seconds: int, connections: int, script: str, given: Sequence[str]) -> list[str]:
    scripted = ["-s", str(LUA / script)] if script else []
    arguments = ["--", *given] if given else []
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *scripted, url, *arguments]


def read(printed: str) -> Load:
    """What wrk's report says. Raises Failed when it tells of failures, or is no report."""
    trouble = re.search(r"^\s*(Non-2xx or 3xx responses|Socket errors).*$", printed, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", printed, re.MULTILINE)
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s|m) *$", printed, re.MULTILINE)
    if trouble or not rate or not p99:
        raise Failed(trouble.group().strip() if trouble else f"wrk said:\n{printed}")
    if not float(rate[1]):
        raise Failed(f"nothing was answered:\n{printed}")
    return Load(float(rate[1]), float(p99[1]) * _FACTOR[p99[2]], printed)
