"""What the client library costs a program: its start, its reads, its memory. A program of its own, for clean figures.

`python -m bench.library URL PREFIX` holds what is beneath the prefix, and prints JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import timeit
import tracemalloc
from collections.abc import Iterator

import httpx

from bench.contest import Figures
from bench.documents import name_of
from bench.processes import PROJECT
from bench.stage import Stage

PREFIX = "bench/k00"
"""Beneath it are 10,000 documents, however many other rows have written."""

READS = 200_000


def library(stage: Stage, _round: int) -> Figures:
    """A program that holds all documents beneath a prefix."""
    stage.need(stage.effort.held)
    command = [sys.executable, "-m", "bench.library", stage.instance, PREFIX]
    variables = {**os.environ, "PYTHONPATH": str(PROJECT / "client")}
    done = subprocess.run(command, cwd=PROJECT, env=variables, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, float] = json.loads(done.stdout)
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
        name = name_of(0).removeprefix(prefix)
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
    sys.stdout.write(json.dumps(figures))


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
