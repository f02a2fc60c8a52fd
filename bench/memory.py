"""What an instance occupies when it holds many entries."""

from __future__ import annotations

import re
import subprocess
import time

from bench import wrk
from bench.client import Client

FILLED_WITHIN = 180.0
"""Seconds."""

AT_ONCE = 2
"""Seconds of reading between two looks at how many entries there are."""


def fill(url: str, requests: str, entries: int) -> None:
    """Reads the documents that a file of requests asks for until as many are held. Raises TimeoutError."""
    until = time.monotonic() + FILLED_WITHIN
    while held(url) < entries:
        if time.monotonic() > until:
            raise TimeoutError(f"{held(url)} of {entries} entries after {FILLED_WITHIN:.0f} s")
        wrk.run(url, seconds=AT_ONCE, connections=64, script="requests.lua", given=[requests])


def held(url: str) -> int:
    """How many entries it says it holds."""
    with Client(url) as client:
        found = re.search(rb"^config_cache_entries (\S+)$", client.ask("GET", "/metrics")[0], re.MULTILINE)
    return int(float(found[1])) if found else 0


def resident(pid: int) -> float:
    """MB of a process that are in memory, what it shares with others included."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout) * 1024 / 1e6
