"""`python -m torture --seconds 300 --seed 1`: tries to break every promise, and tells whether it did.

Exits with 0 when no promise was broken, 1 when one was, 2 when the world itself failed. The same seed gives the same
schedule of faults and the same clients; how they interleave is up to the machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from torture.report import report
from torture.run import Result, WorldFailed, judge, run
from torture.schedule import Step, plan


def main() -> int:
    asked = arguments()
    if asked.check:
        return told(judge(asked.check))
    directory = asked.directory or Path(tempfile.mkdtemp(prefix=f"torture-{asked.seed}-"))
    steps = plan(asked.seed, asked.seconds, asked.instances)
    if asked.schedule:
        steps = [Step.from_json(line) for line in asked.schedule.read_text().splitlines()]
    say(f"seed {asked.seed}, {asked.seconds:g} s, {len({step.fault for step in steps})} faults; kept in {directory}")
    for step in steps:
        say(f"    {step}")
    try:
        result = run(
            directory, steps, seed=asked.seed, seconds=asked.seconds, instances=asked.instances, rate=asked.rate,
            say=timed(),
        )  # fmt: skip
    except WorldFailed as failed:
        say(f"the world failed: {failed}\nkept in {directory}")
        return 2
    say(f"kept in {directory}")
    return told(result)


def told(result: Result) -> int:
    """Prints the report; the exit code."""
    say(report(result))
    return 1 if result.violations else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults come (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=1, help="decides the faults and the clients (default: %(default)d)")
    parser.add_argument("--instances", type=int, default=5, help="of the service (default: %(default)d)")
    parser.add_argument("--rate", type=float, default=700.0, help="operations a second (default: %(default)g)")
    parser.add_argument("--directory", type=Path, help="where everything is kept (default: a new one)")
    parser.add_argument("--schedule", type=Path, help="a schedule.jsonl to play instead of the seed's")
    parser.add_argument("--check", type=Path, metavar="DIRECTORY", help="only check what an earlier run has kept there")
    return parser.parse_args()


def timed() -> Callable[[str], None]:
    started = time.monotonic()
    return lambda text: say(f"[{time.monotonic() - started:6.1f}] {text}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
