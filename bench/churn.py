"""Whether memory stays flat while everything in it changes: `python -m bench.churn --minutes 30`.

One instance, its cache kept far smaller than the keys, so that entries come and go all the time. Prints the resident
memory of the instance (not of its etcd) every half minute, and how the last third of the run compares with the second.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

from tests.support.instances import InstanceProcess

KEYS = 20_000
ENTRIES = 5_000
CLIENTS = 4
PAUSE = 0.008
"""Seconds between two requests of one client: the machine is not to be used up."""

SAMPLE_EVERY = 30.0


def main() -> None:
    """Runs, and prints what it saw."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=30.0)
    minutes = arguments.parse_args().minutes
    with (
        tempfile.TemporaryDirectory() as directory,
        InstanceProcess(Path(directory), CACHE_MAX_ENTRIES=str(ENTRIES)) as instance,
    ):
        instance.wait_for_slot()
        stop = threading.Event()
        clients = [threading.Thread(target=churn, args=(instance.url, seed, stop)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            samples = watch(instance.pid, minutes * 60)
        finally:
            stop.set()
            for client in clients:
                client.join(30)
    report(samples)


def churn(url: str, seed: int, stop: threading.Event) -> None:
    """Reads, writes and deletes keys at random, values of all sizes, until told to stop."""
    chance = random.Random(seed)
    with requests.Session() as session:
        while not stop.wait(PAUSE):
            where = f"{url}/config/churn/{chance.randrange(KEYS)}"
            match chance.randrange(10):
                case 0:
                    session.delete(where, timeout=10)
                case 1 | 2:
                    value = '"%s"' % ("x" * int(chance.paretovariate(0.8) * 50 % 20_000))
                    session.put(where, data=value, timeout=10)
                case _:
                    session.get(where, timeout=10)


def watch(pid: int, seconds: float) -> list[float]:
    """Resident megabytes, every SAMPLE_EVERY seconds."""
    started, samples = time.monotonic(), []
    while (elapsed := time.monotonic() - started) < seconds:
        samples.append(resident(pid))
        tell(f"{elapsed / 60:5.1f} min  {samples[-1]:6.1f} MB")
        time.sleep(min(SAMPLE_EVERY, seconds / 6))
    return samples


def resident(pid: int) -> float:
    """Megabytes of a process."""
    kilobytes = next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")
    )
    return int(kilobytes) / 1024


def tell(line: str) -> None:
    """At once, so that a long run can be followed."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(samples: list[float]) -> None:
    """The first third is left out: memory is being filled then."""
    third = len(samples) // 3
    middle, last = statistics.median(samples[third : 2 * third]), statistics.median(samples[2 * third :])
    tell(f"second third {middle:.1f} MB, last third {last:.1f} MB: {last / middle - 1:+.1%}")


if __name__ == "__main__":
    main()
