"""What an instance occupies when it holds many entries."""

from __future__ import annotations

import re
import subprocess
import time

from bench import wrk
from bench.client import Client

FILLED_WITHIN = 180
"""Seconds."""

LOOK_EVERY = 0.2
"""Seconds."""


def fill(url: str, requests: str, entries: int) -> None:
    """Reads the documents that a file of requests asks for until as many are held. Raises TimeoutError.

    In one go: whoever begins anew at the first document might never get to the last.
    """
    with wrk.busy(url, at_most=FILLED_WITHIN, connections=64, script="requests.lua", given=[requests]):
        until = time.monotonic() + FILLED_WITHIN
        while (now := held(url)) < entries:
            if time.monotonic() > until:
                raise TimeoutError(f"{now} of {entries} entries after {FILLED_WITHIN} s")
            time.sleep(LOOK_EVERY)


def held(url: str) -> int:
    """How many entries it says it holds."""
    with Client(url) as client:
        found = re.search(rb"^config_cache_entries (\S+)$", client.ask("GET", "/metrics")[0], re.MULTILINE)
    return int(float(found[1])) if found else 0


def resident(pid: int) -> float:
    """MB of a process that are in memory, what it shares with others included."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout) * 1024 / 1e6
