"""The measurements that need no load: how long a write takes to be seen, and what an instance occupies and uses."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

from bench import documents, wrk
from bench.client import Client
from bench.contest import Figures, percentiles
from bench.processes import PROJECT
from bench.stage import HIT, Stage

PATH = "/config/bench/moved"

SEEN_WITHIN = 5.0
"""Seconds for one write to be seen: more than the service promises."""

SETTLED = 2.0
"""Seconds after its start until an instance counts as idle."""

FILLED_WITHIN = 150
"""Seconds."""

LOOK_EVERY = 0.2
"""Seconds between two looks at how many entries are held."""


# --- how soon a write is seen elsewhere


def fresh_elsewhere(stage: Stage, _round: int) -> Figures:
    """From an answered write to the first answer of another instance that shows it, ms."""
    first, *others = stage.fleet(stage.effort.wide)
    return percentiles(list(delays(first, others, stage.effort.writes)))


def raw_watch(stage: Stage, _round: int) -> Figures:
    """From an answered put to its event in a bare watch, ms."""
    command = [sys.executable, "-m", "bench.peers", "watch", stage.etcd, str(stage.effort.writes)]
    apart = stage.own_sessions
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True, start_new_session=apart
    )
    return percentiles([float(line) for line in done.stdout.split()])


def delays(writer: str, readers: Sequence[str], writes: int) -> Iterator[float]:
    """Writes to one, default reads from the others in turn; milliseconds from answer to answer. Raises TimeoutError.

    Each reader holds the value before when the write comes: it has something old to serve.
    """
    with contextlib.ExitStack() as stack:
        put = stack.enter_context(Client(writer))
        _write(put)
        turns = cycle([stack.enter_context(Client(url)) for url in readers])
        for reader, _ in zip(turns, range(writes), strict=False):
            reader.ask("GET", PATH)
            tag = _write(put)
            answered = time.perf_counter()
            while reader.ask("GET", PATH)[1]["etag"] != tag:
                if time.perf_counter() > answered + SEEN_WITHIN:
                    raise TimeoutError(f"a write was not seen within {SEEN_WITHIN} s")
            yield (time.perf_counter() - answered) * 1e3


def _write(client: Client) -> str:
    """The ETag of what was written."""
    return client.ask("PUT", PATH, documents.document(0))[1]["etag"]


# --- what an instance occupies and uses


def idle(stage: Stage, _round: int) -> Figures:
    """A fresh instance that nobody asks, and then many who are connected to it and ask nothing more."""
    stage.need(1)
    with stage.another_instance() as instance:
        time.sleep(SETTLED)
        cpu = _share_of_a_cpu(lambda: cpu_seconds(instance.process.pid), stage.effort.idle)
        before = resident(instance.process.pid)
        with connected(instance.url, stage.effort.waiting):
            more = resident(instance.process.pid) - before
    return {"MB": before, "% of a CPU": cpu, "MB more with 2,000 clients": more}


def full(stage: Stage, _round: int) -> Figures:
    """A fresh instance that holds all documents."""
    entries = stage.effort.documents
    stage.need(entries)
    with stage.another_instance(CACHE_MAX_ENTRIES=str(2 * entries), CACHE_MAX_BYTES=str(1024**3)) as instance:
        fill(instance.url, stage.lines("everything", documents.reads(entries)), entries)
        return {"MB": resident(instance.process.pid)}


def fill(url: str, requests: str, entries: int) -> None:
    """Reads the documents that a file of requests asks for until as many are held. Raises TimeoutError.

    In one go: a read that begins anew at the first document might never get to the last.
    """
    with wrk.busy(wrk.listed(url, requests), at_most=FILLED_WITHIN, connections=64):
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


@contextlib.contextmanager
def connected(url: str, count: int) -> Iterator[None]:
    """So many clients who have asked once and stay connected. Raises OSError when they can't."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10.0)
            stack.callback(client.close)
            client.request("GET", HIT)
            client.getresponse().read()
        yield


def resident(pid: int) -> float:
    """MB of a process that are in memory, what it shares with others included."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has had of a CPU since its start (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _share_of_a_cpu(used: Callable[[], float], seconds: float) -> float:
    """Percent."""
    began, before = time.monotonic(), used()
    time.sleep(seconds)
    return 100 * (used() - before) / (time.monotonic() - began)
