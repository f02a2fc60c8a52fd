"""What an instance takes of its machine, idle, full, and for those who wait for it; and what a client's program pays.

`python -m bench.costs URL PREFIX` is such a program, for clean figures: it holds what is beneath the prefix with the
client library, and prints JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import timeit
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from bench import documents, wrk
from bench.contest import Figures
from bench.listeners import TOLD_WITHIN, Clients, clients
from bench.processes import PROJECT, Client, Metrics, printed_by, say, wait_for
from bench.stage import HIT, Stage
from service.process.open_files import connections_allowed
from tools.as_deployed import as_deployed

SETTLED = 2.0
"""Seconds after its start until an instance counts as idle."""

FILLED_WITHIN = 150
"""Seconds."""

LOOK_EVERY = 0.2
"""Seconds between two looks at how many entries are held."""

SCOPE = "waiting/"
"""What all who wait for changes of an instance follow."""

POLL = 50
"""Seconds of a long poll."""

_LONG_POLL = "GET /changes?prefix={prefix}&after={after}&wait={wait} HTTP/1.1\r\nHost: localhost\r\n\r\n"

HELD = "bench/k00"
"""Beneath it are 10,000 documents, however many other rows have written."""

READS = 200_000


# --- an instance


def idle(stage: Stage, _round: int) -> Figures:
    """A fresh instance as it is deployed: first nobody asks it, then many are connected who ask nothing more."""
    stage.need(1)
    with tempfile.TemporaryDirectory() as directory:
        deployed = as_deployed(Path(directory))
        with stage.another_instance(**deployed):
            pass  # all that it loads is compiled by now
        with stage.another_instance(**deployed) as instance:
            time.sleep(SETTLED)
            began, used = time.monotonic(), cpu_seconds(instance.process.pid)
            time.sleep(stage.effort.idle)
            share = (cpu_seconds(instance.process.pid) - used) / (time.monotonic() - began)
            before = resident(instance.process.pid)
            with connected(instance.url, stage.effort.waiting):
                more = resident(instance.process.pid) - before
    return {"MB": before, "% of a CPU": 100 * share, "MB more with 2,000 clients": more}


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
        what = f"it holds all of {entries} entries"
        wait_for(lambda: Metrics(url).total("config_cache_entries") >= entries, FILLED_WITHIN, what, LOOK_EVERY)


@contextlib.contextmanager
def connected(url: str, count: int) -> Iterator[None]:
    """So many clients who have asked once and stay connected. Raises OSError when they can't."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(Client(url)).ask("GET", HIT)
        yield


def waiting(stage: Stage, _round: int) -> Figures:
    """kB of a fresh instance's memory for each client, its connection included: of streams, and of long polls."""
    streams = _cost(stage, lambda _, those, count: those.follow(SCOPE, count))
    return {"kB a stream": streams, "kB a long poll": _cost(stage, _poll)}


def _cost(stage: Stage, ask: Callable[[str, Clients, int], None]) -> float:
    count = min(stage.effort.waiters, connections_allowed(stage.effort.waiters))
    with stage.another_instance() as instance:
        with Client(instance.url) as asking:
            asking.ask("PUT", f"/config/{SCOPE}k", documents.document(0))
        time.sleep(2 * SETTLED)
        before = resident(instance.process.pid)
        with clients(instance.url) as those:
            ask(instance.url, those, count)
            return 1000 * (resident(instance.process.pid) - before) / count


def _poll(url: str, those: Clients, count: int) -> None:
    with Client(url) as asking:
        after = json.loads(asking.ask("GET", f"/changes?prefix={SCOPE}")[0])["to"]
    those.ask(_LONG_POLL.format(prefix=SCOPE, after=after, wait=POLL), count)
    waiters = ("config_change_waiters", 'encoding="json"')
    wait_for(lambda: Metrics(url).total(*waiters) >= count, TOLD_WITHIN, "all long polls wait")


def resident(pid: int) -> float:
    """MB of a process that are in memory, what it shares with others included."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has had of a CPU since its start (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- a program that uses the client library


def library(stage: Stage, _round: int) -> Figures:
    """A program that holds all documents beneath a prefix."""
    stage.need(stage.effort.held)
    places = os.pathsep.join(map(str, (PROJECT, PROJECT / "client")))
    found: dict[str, float] = json.loads(printed_by("bench.costs", stage.instance, HELD, PYTHONPATH=places))
    return found


def main(url: str, prefix: str) -> None:
    """See the module's opening."""
    from config_client import ConfigClient  # not a part of what the bench itself needs

    with httpx.Client(trust_env=False) as bare:  # the same bytes, and nothing made of them
        began = time.perf_counter()
        _snapshot(bare, url, prefix)
        plain = time.perf_counter() - began
    began = time.perf_counter()
    with ConfigClient(url, prefix=prefix, trust_env=False, start_within=30.0) as config:
        started = time.perf_counter() - began
        name = documents.name_of(0).removeprefix(prefix)
        read = timeit.timeit(lambda: config.get(name), number=READS) / READS
    tracemalloc.start()
    with ConfigClient(url, prefix=prefix, trust_env=False, start_within=30.0) as config:
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    figures = {
        "µs a read": read * 1e6,
        "s to start": started,
        "start ÷ bare httpx": started / plain,
        "MB": held / 1e6,
    }
    say(json.dumps(figures))


def _snapshot(bare: httpx.Client, url: str, prefix: str) -> None:
    """Read a stream up to its first `sync`."""
    headers = {"Accept": "text/event-stream"}
    with bare.stream("GET", f"{url}/changes", params={"prefix": prefix}, headers=headers) as response:
        lines = response.iter_lines()
        while next(lines) != "event: sync" or json.loads(_data(lines))["more"]:
            continue


def _data(lines: Iterator[str]) -> str:
    """Of the event that has begun."""
    return next(line for line in lines if line.startswith("data:")).removeprefix("data:")


if __name__ == "__main__":
    main(*sys.argv[1:])
