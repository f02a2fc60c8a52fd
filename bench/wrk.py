"""The load: wrk, one thread, as many connections as asked for. Owns its command line and the reading of what it prints.

Refuses to count failures: an answer that is no success, or a broken connection, ends the measurement. Refuses any
address but the loopback's, and loads without an end.
"""

from __future__ import annotations

import ipaddress
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.contest import Figures

HERE = Path(__file__).parent
LONGEST = 180
"""Seconds of one load, at most."""

GRACE = 30
"""Seconds that wrk may take beyond the time it measures."""


class Failed(Exception):
    """There is no figure; the message has what wrk said."""


@dataclass(frozen=True, slots=True)
class Requests:
    """What wrk asks for: a URL, or what its script makes of `given`. The scripts are beside this file."""

    url: str
    given: tuple[str, ...] = ()
    script: str = "load.lua"


def listed(url: str, file: str) -> Requests:
    """The requests of a file, in turn."""
    return Requests(url, ("0", file))


def paced(url: str, milliseconds: int) -> Requests:
    """The URL, by each connection not more often than that."""
    return Requests(url, (str(milliseconds),))


def run(requests: Requests, *, seconds: int, connections: int, own_session: bool = False) -> tuple[Figures, str]:
    """Keeps `connections` busy for that long: the figures, and all that was said. Raises Failed, ValueError."""
    command = _command(requests, seconds, connections)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + GRACE, check=False, start_new_session=own_session
    )
    try:
        if done.returncode:
            raise Failed(done.stderr or done.stdout)
        return read(done.stdout), done.stdout
    except Failed as failed:
        raise Failed(f"{' '.join(command)}: {failed}") from None


@contextmanager
def busy(requests: Requests, *, at_most: int, connections: int, own_session: bool = False) -> Iterator[None]:
    """While inside, and for `at_most` seconds, the connections are busy. Nothing is measured. Raises ValueError."""
    command = _command(requests, at_most, connections)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=own_session) as process:
        try:
            yield
        finally:
            process.kill()


def _command(requests: Requests, seconds: int, connections: int) -> Sequence[str]:
    host = urlsplit(requests.url).hostname or ""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the load would go to {host}; expected an address of the loopback, for example 127.0.0.1")
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"the load would last {seconds} s; expected 1 to {LONGEST}")
    measured = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(HERE / requests.script)]
    return ["wrk", *measured, requests.url, "--", *requests.given]


def read(printed: str) -> Figures:
    """What wrk's report and the script say. Raises Failed when it tells of failures, or is no report."""
    trouble = re.search(r"^\s*(Non-2xx or 3xx responses|Socket errors).*$", printed, re.MULTILINE)
    found = re.search(r"^figures: (\S+) requests/s p50 (\d+) us p99 (\d+) us p99.9 (\d+) us$", printed, re.MULTILINE)
    if trouble or not found:
        raise Failed(trouble.group().strip() if trouble else f"wrk said:\n{printed}")
    rate, *microseconds = map(float, found.groups())
    if not rate:
        raise Failed(f"nothing was answered:\n{printed}")
    p50, p99, p999 = (each / 1e3 for each in microseconds)
    return {"requests/s": rate, "p50": p50, "p99": p99, "p99.9": p999}
