"""`python -m bench.scale`: counts every design at every number of instances, and prints the tables.

`--report` makes the tables and the plots from an earlier run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench.processes import READY_WITHIN, STOPPED_WITHIN, printed_by, say
from bench.scale.counts import Part, Results
from bench.scale.fleet import NAMES, OURS, Fleet, sizes
from bench.scale.report import draw, markdown
from bench.scale.work import SMOKE, STEPS_AT, Amount, Work
from service.embedded_etcd.binary import find_etcd
from service.embedded_etcd.child import EtcdProcess, launch

HOME = Path("instance")
RESULT = HOME / "scale.json"

AT_ONCE = 2
"""Designs that are counted side by side, each on an etcd of its own: they wait most of the time."""

WITHIN = 1800.0
"""Seconds for one design."""

Counted = Mapping[int, Mapping[str, Part]]
"""Of one design: by number of instances, then by part."""


def main(given: Sequence[str] | None = None) -> int:
    """0 when everything has been counted."""
    arguments = _arguments(given)
    if not arguments.report:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="scale-", dir=arguments.json.parent) as home:
            _count(arguments, Path(home).absolute())
    if arguments.etcd:
        return 0
    results = Results.load(arguments.json)
    say(markdown(results))
    if arguments.plots:
        say(f"plots: {', '.join(map(str, draw(results, arguments.plots)))}")
    return 0


def _count(arguments: argparse.Namespace, directory: Path) -> None:
    amount, machine = SMOKE if arguments.smoke else Amount(), {"cores": os.cpu_count(), "system": platform.platform()}
    if arguments.etcd:
        (name,) = arguments.designs
        found = count(name, arguments.etcd, arguments.instances, amount, directory)
        Results({name: found}, asdict(amount)).save(arguments.json, machine)
        return
    with ExitStack() as stack:
        # One after the other, and from here: two that start together may take the same port for free.
        etcds = {name: _etcd(directory / name, stack) for name in arguments.designs}
        machine["etcd"] = next(iter(etcds.values())).version
        with ThreadPoolExecutor(arguments.at_once) as pool:
            counted = {pool.submit(_elsewhere, name, etcds[name], directory, arguments): name for name in etcds}
            designs: dict[str, Counted] = {}
            for each in as_completed(counted):  # kept as they come: what has been counted took minutes
                designs[counted[each]] = each.result()
                in_order = {name: designs[name] for name in etcds if name in designs}
                Results(in_order, asdict(amount)).save(arguments.json, machine)


def _etcd(directory: Path, stack: ExitStack) -> EtcdProcess:
    directory.mkdir()
    etcd = launch(find_etcd(), directory / "etcd", directory / "etcd.log", within=READY_WITHIN)
    stack.callback(etcd.stop, STOPPED_WITHIN)
    return etcd


def _elsewhere(name: str, etcd: EtcdProcess, directory: Path, arguments: argparse.Namespace) -> Counted:
    """In a process of its own, which ends what it starts. Raises subprocess.SubprocessError."""
    file = directory / name / "counts.json"
    amount = ["--instances", ",".join(map(str, arguments.instances)), *(["--smoke"] if arguments.smoke else [])]
    printed_by("bench.scale", name, "--etcd", etcd.endpoint, "--json", str(file), *amount, within=WITHIN)
    say(f"{name}: counted")
    return Results.load(file).designs[name]


def count(name: str, etcd: str, instances: Sequence[int], amount: Amount, directory: Path) -> Counted:
    """One design, with the steps at STEPS_AT instances, or at the most if that is not among them."""
    steps_at = STEPS_AT if STEPS_AT in instances else max(instances)
    found = {}
    with Fleet(name, etcd, directory) as fleet:
        for size in instances:
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
                found[size] = parts | (_steps(work, amount) if size == steps_at else {})
    return found


def _steps(work: Work, amount: Amount) -> dict[str, Part]:
    parts = {}
    for keys in amount.key_steps:
        parts[f"keys {keys}"] = work.keys(keys)
    for rate in amount.rate_steps:
        parts[f"rate {rate}"] = work.rate(rate)
    for size in amount.size_steps:
        parts[f"hot {size}"] = work.hot_writes(amount.few, size)
        parts[f"cold {size}"] = work.cold_writes(amount.few, size)
    return parts


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("designs", nargs="*", default=list(NAMES), help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--instances", type=sizes, default="1,4,16,64", help="numbers, separated by commas (default: %(default)s)"
    )
    parser.add_argument("--smoke", action="store_true", help="very little work: shows that it runs")
    parser.add_argument("--report", action="store_true", help="count nothing, report what was counted before")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="designs side by side (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULT, help="file for the counts (default: %(default)s)")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="draw them, too, as SVG")
    parser.add_argument("--etcd", help="count one design on this one, which nobody else uses meanwhile; print nothing")
    arguments = parser.parse_args(given)
    if unknown := set(arguments.designs) - set(NAMES):
        parser.error(f"no such design: {', '.join(sorted(unknown))}; expected some of {', '.join(NAMES)}")
    if arguments.etcd and len(arguments.designs) != 1:
        parser.error(f"--etcd is for one design, for example: {OURS} --etcd http://127.0.0.1:2379")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
