"""`python -m bench.scale`: counts every design at every number of instances, and prints the tables.

`--report` makes the tables and the plots from an earlier run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.processes import READY_WITHIN, STOPPED_WITHIN
from bench.scale.fleet import NAMES
from bench.scale.results import SMOKE, Amount, Results, markdown
from service.embedded_etcd.binary import find_etcd
from service.embedded_etcd.child import EtcdProcess, launch

HOME = Path("instance")
RESULT = HOME / "scale.json"

AT_ONCE = 2
"""Designs that are counted side by side, each on an etcd of its own: they wait most of the time."""

WITHIN = 1800.0
"""Seconds for one design."""


def main(given: Sequence[str] | None = None) -> int:
    """0 when everything has been counted."""
    arguments = _arguments(given)
    if not arguments.report:
        _count(arguments)
    results = Results.load(arguments.json)
    _say(markdown(results))
    if arguments.plots:
        from bench.scale import plots  # matplotlib takes a second, and counting needs none

        _say(f"plots: {', '.join(map(str, plots.draw(results, arguments.plots)))}")
    return 0


def _count(arguments: argparse.Namespace) -> None:
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    more = ["--instances", arguments.instances, *(["--smoke"] if arguments.smoke else [])]
    with ExitStack() as stack:
        home = tempfile.TemporaryDirectory(prefix="scale-", dir=arguments.json.parent)
        directory = Path(stack.enter_context(home)).absolute()
        # One after the other, and from here: two that start together may take the same port for free.
        etcds = {name: _etcd(directory / name, stack) for name in arguments.designs}
        with ThreadPoolExecutor(arguments.at_once) as pool:
            counted = {pool.submit(_design, directory, etcds[name], more, name): name for name in etcds}
            found: dict[str, Any] = {}
            for each in as_completed(counted):  # kept as they come: what has been counted took minutes
                found[counted[each]] = each.result()
                in_order = {name: found[name] for name in etcds if name in found}
                _save(arguments, {"etcd": next(iter(etcds.values())).version}, in_order)


def _save(arguments: argparse.Namespace, programs: dict[str, str], found: dict[str, Any]) -> None:
    machine = {"cores": os.cpu_count(), "system": platform.platform(), **programs}
    amount = asdict(SMOKE if arguments.smoke else Amount())
    content = {"machine": machine, "amount": amount, "designs": found}
    arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _etcd(directory: Path, stack: ExitStack) -> EtcdProcess:
    directory.mkdir()
    etcd = launch(find_etcd(), directory / "etcd", directory / "etcd.log", within=READY_WITHIN)
    stack.callback(etcd.stop, STOPPED_WITHIN)
    return etcd


def _design(directory: Path, etcd: EtcdProcess, more: Sequence[str], name: str) -> Any:
    """In a process of its own, which ends what it starts. Raises subprocess.CalledProcessError."""
    given = ["--etcd", etcd.endpoint, "--into", str(directory / name), *more]
    command = [sys.executable, "-m", "bench.scale.run", name, *given]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=WITHIN, check=True)
    _say(f"{name}: counted")
    return json.loads(done.stdout)


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("designs", nargs="*", default=list(NAMES), help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--instances", default="1,4,16,64", help="numbers, separated by commas (default: %(default)s)")
    parser.add_argument("--smoke", action="store_true", help="very little work: shows that it runs")
    parser.add_argument("--report", action="store_true", help="count nothing, report what was counted before")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="designs side by side (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=RESULT, help="file for the counts (default: %(default)s)")
    parser.add_argument("--plots", type=Path, metavar="DIRECTORY", help="draw them, too, as SVG")
    arguments = parser.parse_args(given)
    if unknown := set(arguments.designs) - set(NAMES):
        parser.error(f"no such design: {', '.join(sorted(unknown))}; expected some of {', '.join(NAMES)}")
    if not all(each.isdecimal() and 1 <= int(each) <= 64 for each in arguments.instances.split(",")):
        parser.error(f"--instances is {arguments.instances}; expected numbers from 1 to 64, for example 1,4")
    return arguments


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
