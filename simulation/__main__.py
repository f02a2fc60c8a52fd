"""`python -m simulation --seeds 100` or `--seed 7`: runs the real code under a clock and a network that seeds decide.

Exits with 0 when no promise was broken, 1 when one was. The same seed gives the same run, byte for byte. Of a seed that
fails the story is told, after everything that is not needed for the failure has been left out.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from typing import NoReturn

from simulation.record import digest
from simulation.runs import Totals, fresh_seeds, planned, played, summaries
from simulation.shrink import TRIES, Search
from simulation.story import story
from simulation.verdict import judge

SHOWN = 3
"""Failing seeds whose stories are told."""


def main() -> int:
    if sys.flags.hash_randomization:
        begin_anew_with_one_order_of_sets()
    asked = arguments()
    if asked.seed is not None:
        return one(asked.seed, asked.drift, asked.tries)
    base = asked.base if asked.base is not None else secrets.randbelow(10**9)
    seeds = list(range(asked.first, asked.fixed + 1)) + fresh_seeds(base, asked.seeds)
    say(f"{f'seeds {asked.first} to {asked.fixed}, and ' if asked.fixed else ''}{asked.seeds} seeds of base {base}")
    totals, begun = Totals(), time.monotonic()
    for run in summaries(seeds, jobs=asked.jobs, drift=asked.drift):
        totals.add(run)
        if run.broken:
            say(f"seed {run.seed}: {', '.join(run.broken)}: {run.claim}")
        if asked.stop and run.broken:
            break
    say("\n".join(told(totals, time.monotonic() - begun)))
    for run in totals.broken[: asked.stories]:
        one(run.seed, asked.drift, asked.tries)
    return 1 if totals.broken else 0


def begin_anew_with_one_order_of_sets() -> NoReturn:
    """Python draws for each process in which order a set of texts is gone through; here the seed alone decides."""
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})


def one(seed: int, drift: float, tries: int) -> int:
    """Plays one seed and tells its story; a failing one's is made short before."""
    plan = planned(seed, drift)
    run = played(plan)
    broken = judge(run)
    if not broken:
        say(f"seed {seed}: {len(run.history):,} operations, {run.seconds:.1f} s, every promise was kept; {digest(run)}")
        return 0
    if tries:
        plan = Search(plan, played, tries).shortest()
    say(story(plan, played))
    return 1


def told(totals: Totals, seconds: float) -> list[str]:
    """The figures."""
    return [
        f"{totals.seeds:,} seeds, {totals.operations:,} operations, {totals.steps:,} steps, {totals.seconds / 3600:.1f}"
        f" hours of virtual time in {seconds:.0f} s",
        f"{totals.took / max(1, totals.operations) * 1e6:.0f} µs of the processor an operation",
        f"{totals.guarded:,} default reads of guarded keys, {totals.hits:,} of them hits",
        f"{totals.told:,} changes told to those who follow them",
        *(f"{number:8,} x {kind}" for kind, number in sorted(totals.faults.items())),
        *(f"{number:8,} x {kind}" for kind, number in sorted(totals.answers.items())),
        f"{len(totals.broken)} seeds broke a promise",
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one, and its story if it fails")
    parser.add_argument("--seeds", type=int, default=100, help="how many new ones (default: %(default)d)")
    parser.add_argument("--fixed", type=int, default=0, help="and the seeds 1 to this (default: %(default)d)")
    parser.add_argument("--first", type=int, default=1, help="instead of 1 (default: %(default)d)")
    parser.add_argument("--base", type=int, help="decides which seeds the new ones are (default: by chance)")
    parser.add_argument("--jobs", type=int, default=0, help="processes (default: one for each core)")
    parser.add_argument(
        "--drift", type=float, default=0.0, help="let a clock run slower by this: a promise has to break"
    )
    parser.add_argument("--stop", action="store_true", help="at the first seed that fails")
    parser.add_argument("--stories", type=int, default=SHOWN, help="of so many failing seeds (default: %(default)d)")
    parser.add_argument(
        "--tries", type=int, default=TRIES, help="runs that making a story short may take (default: %(default)d)"
    )
    return parser.parse_args()


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
