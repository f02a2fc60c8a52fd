"""Which breaks of the protocol the simulation finds, and in how many seeds: `python -m mutants.simulated [word …]`.

Each mutant is a copy of the project with one change, as for the tests; the same seeds run on all of them. On what no
seed finds more seeds run, until one does, unless `unseen.py` says that none would. The rows go into the table of
docs/simulation.md, where those of other mutants stay as they are. Owns the table's form.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from mutants.__main__ import PROJECT, copied, plant, tell
from mutants.catalogue import MUTANTS, Mutant
from mutants.unseen import KINDS, NEVER, UNSEEN

DOCUMENT = PROJECT / "docs" / "simulation.md"
SEEDS = 12
"""Seeds 1 to this are run on each mutant."""

MORE = 150
"""Seeds 1 to this on one that the first have not found, until one finds it."""

LIMIT = 900
"""Seconds for all of them. A run that needs more is reported as that: slowness alone breaks no promise."""

NOT_OVER = (0, "not over in time")
"""Instead of a seed that failed. (A break that makes runs endless fails: they have a bound of their own.)"""

BEGIN, END = "<!-- written by python -m mutants.simulated -->\n", "<!-- until here -->\n"

TRIES = 40
"""Runs that making the story of a mutant short may take."""

ELSEWHERE = ("consistency/blocking.py",)
"""What the simulation does not run: where threads meet the loop."""


class Found(NamedTuple):
    """seeds: those that found it, of the first. first: the first of all that did, 0 if none. checks: what broke.

    run: whether the line that is broken is run at all, in the first seeds and without the break.
    """

    seeds: int
    first: int
    checks: str
    run: bool


def main() -> int:
    asked = arguments()
    if asked.story is not None:
        (mutant,) = (mutant for mutant in MUTANTS if mutant.title == " ".join(asked.words))
        tell(story(mutant, asked.story))
        return 0
    chosen = [mutant for mutant in MUTANTS if not asked.words or any(word in mutant.title for word in asked.words)]
    chosen = [mutant for mutant in chosen if mutant.title in titles()]
    rows = {}
    reached = reach(asked.seeds)
    with ThreadPoolExecutor(asked.jobs) as pool:
        each = partial(looked_for, reached, seeds=asked.seeds, more=asked.more)
        for mutant, found in zip(chosen, pool.map(each, chosen), strict=True):
            rows[mutant.title] = row(mutant, found, asked.seeds)
            tell(rows[mutant.title])
            if found.seeds and UNSEEN.get(mutant.title, "").startswith(NEVER):
                tell(f"It is found, though mutants/unseen.py says why it would not be: {mutant.title}")
    text = DOCUMENT.read_text()
    rows = known(text) | rows
    DOCUMENT.write_text(
        text[: text.index(BEGIN)]
        + table([rows[title] for title in titles() if title in rows], asked.seeds, asked.more)
        + text[text.index(END) :]
    )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutants.simulated", description=__doc__)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="on each mutant (default: %(default)s)")
    parser.add_argument("--more", type=int, default=MORE, help="where those find nothing (default: %(default)s)")
    parser.add_argument(
        "--story", type=int, metavar="SEED", help="of this seed with one mutant, which is named in full"
    )
    parser.add_argument("words", nargs="*", metavar="word", help="only mutants whose rule or description has one")
    return parser.parse_args()


def looked_for(reached: Mapping[str, Collection[int]], mutant: Mutant, *, seeds: int, more: int) -> Found:
    """Runs the seeds on a copy with the mutant. reached: by file, the lines that are run without it."""
    runs = broken_line(mutant) in reached.get(mutant.file, ())
    with copied() as copy:
        plant(mutant, copy)
        told = run(str(copy), "--fixed", str(seeds))
        if not told:
            first = str(seeds + 1)
            wanted = more > seeds and not UNSEEN.get(mutant.title, "").startswith(NEVER)
            told = run(str(copy), "--first", first, "--fixed", str(more), "--stop") if wanted else []
            return Found(0, told[0][0] if told else 0, told[0][1] if told else "", runs or bool(told))
        if told == [NOT_OVER]:
            return Found(0, 0, NOT_OVER[1], runs)
        checks = dict.fromkeys(check for _, each in told for check in each.split(", "))
        return Found(len(told), told[0][0], ", ".join(checks), True)


def reach(seeds: int) -> dict[str, frozenset[int]]:
    """The lines that the first seeds run, by file: of a statement the first."""
    with copied() as copy:
        data = ("--data-file", str(copy / "data"))
        simulated = ("--branch", "--source", "consistency", "-m", "simulation", "--seeds", "0", "--fixed", str(seeds))
        for command in (("run", *data, *simulated, "--jobs", "1", "--stories", "0"), ("json", *data, "-o", "lines")):
            subprocess.run(
                [sys.executable, "-m", "coverage", *command], cwd=copy, capture_output=True, check=True,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )  # fmt: skip
        files = json.loads((copy / "lines").read_text())["files"]
        return {name: frozenset(each["executed_lines"]) for name, each in files.items()}


def broken_line(mutant: Mutant) -> int:
    """The first line of the statement that the mutant changes, or changes first."""
    text = (PROJECT / mutant.file).read_text()
    pairs = zip(mutant.old, mutant.new, strict=False)
    same = next((at for at, (old, new) in enumerate(pairs) if old != new), min(len(mutant.old), len(mutant.new)))
    line = text.count("\n", 0, text.index(mutant.old) + same) + 1
    around = [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, default=line)


def story(mutant: Mutant, seed: int) -> str:
    """What a failing seed tells on a copy with the mutant."""
    with copied() as copy:
        plant(mutant, copy)
        command = [sys.executable, "-m", "simulation", "--seed", str(seed), "--tries", str(TRIES)]
        return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=LIMIT).stdout


def run(copy: str, *arguments: str) -> list[tuple[int, str]]:
    """The seeds that failed there, with the names of what broke."""
    command = [sys.executable, "-m", "simulation", "--seeds", "0", "--jobs", "1", "--stories", "0", *arguments]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return [NOT_OVER]
    failed = [(int(seed), checks) for seed, checks in re.findall(r"^seed (\d+): ([^:]+):", done.stdout, re.MULTILINE)]
    if not failed and done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return [(1, f"the run itself failed ({last[0].split(':')[0]})")]
    return failed


def titles() -> list[str]:
    """Of all mutants that the table has, in its order."""
    return [mutant.title for mutant in MUTANTS if mutant.file not in ELSEWHERE]


def row(mutant: Mutant, found: Found, seeds: int) -> str:
    """Of the table."""
    missed = "not found" if found.run else "not run"
    how = f"{found.seeds} of {seeds}" if found.seeds else f"seed {found.first}" if found.first else missed
    return f"| {mutant.rule} | {mutant.break_} | {how} | {found.checks or UNSEEN.get(mutant.title, '')} |"


def known(text: str) -> dict[str, str]:
    """The rows of a document's table, by title."""
    return {
        f"rule {rule}: {break_}": line
        for line in text[text.index(BEGIN) : text.index(END)].splitlines()
        for rule, break_ in re.findall(r"^\| (\d+) \| (.+?) \|", line)
    }


def table(rows: Sequence[str], seeds: int, more: int) -> str:
    """All of it, with its opening."""
    how = [each.split(" | ", 3)[2] for each in rows]
    by_first, later = sum(" of " in each for each in how), sum(each.startswith("seed ") for each in how)
    unrun = how.count("not run")
    why = "; ".join(f"{sum(f' | {kind}' in each for each in rows)} {words}" for kind, words in KINDS.items())
    opening = (
        f"The seeds 1 to {seeds} find {by_first} of {len(rows)} mutants. Later seeds, up to {more}, find {later} more; "
        f"the table names the first that does. Of those that are left, {why}. The broken line of {unrun} is not run."
    )
    return "\n".join(
        (
            BEGIN,
            textwrap.fill(opening, 120),
            "",
            "| rule | mutant | found in | by, or why not |",
            "|---|---|---|---|",
            *rows,
            "",
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
