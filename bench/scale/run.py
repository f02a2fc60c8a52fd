"""One design from 1 to so many instances: `python -m bench.scale.run NAME --etcd URL --instances 1,4 --into DIRECTORY`.

Prints its results as JSON. A process of its own for each design: what is started ends with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.scale.counts import Part
from bench.scale.fleet import NAMES, OURS, Fleet
from bench.scale.results import SMOKE, STEPS_AT, Amount
from bench.scale.work import Work

Parts = dict[str, Part]


def run(name: str, etcd: str, sizes: Sequence[int], amount: Amount, directory: Path) -> dict[str, Parts]:
    """For each number of instances its parts; with the steps at STEPS_AT, or the most if that is not among them."""
    steps_at = STEPS_AT if STEPS_AT in sizes else max(sizes)
    with Fleet(name, etcd, directory) as fleet:
        return {str(size): _at(name, fleet, size, amount, steps=size == steps_at) for size in sorted(sizes)}


def _at(name: str, fleet: Fleet, size: int, amount: Amount, *, steps: bool) -> Parts:
    fleet.grow_to(size)
    with Work(fleet, amount) as work:
        parts = {
            "reading": work.reading(),
            "hot": work.hot_writes(amount.writes, amount.size),
            "cold": work.cold_writes(amount.writes, amount.size),
            "idle": work.idle(),
        }
        if name == OURS:
            parts |= work.following(amount.streams, amount.few)
        return {**parts, **(_steps(work, amount) if steps else {})}


def _steps(work: Work, amount: Amount) -> Parts:
    parts = {}
    for keys in amount.key_steps:
        parts[f"keys {keys}"] = work.keys(keys)
    for rate in amount.rate_steps:
        parts[f"rate {rate}"] = work.rate(rate)
    for size in amount.size_steps:
        parts[f"hot {size}"] = work.hot_writes(amount.few, size)
        parts[f"cold {size}"] = work.cold_writes(amount.few, size)
    return parts


def main() -> int:
    """0; whatever goes wrong is raised."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.run")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--instances", required=True, help="numbers, separated by commas")
    parser.add_argument("--etcd", required=True, help="endpoint of one that nobody else uses meanwhile")
    parser.add_argument("--into", type=Path, required=True, help="directory for logs")
    parser.add_argument("--smoke", action="store_true")
    given = parser.parse_args()
    sizes = [int(each) for each in given.instances.split(",")]
    found = run(given.name, given.etcd, sizes, SMOKE if given.smoke else Amount(), given.into)
    sys.stdout.write(json.dumps(as_json(found)) + "\n")
    return 0


def as_json(found: dict[str, Parts]) -> dict[str, dict[str, Any]]:
    """Dictionaries and numbers only."""
    return {size: {what: asdict(part) for what, part in parts.items()} for size, parts in found.items()}


if __name__ == "__main__":
    sys.exit(main())
