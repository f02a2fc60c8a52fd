"""Breaks the protocol, one rule at a time, and tells which test noticed: `python -m mutants [--quick] [word …]`.

Each mutant is a copy of the project with one change; a test must fail on it. The one that noticed it the last time
(`docs/mutants.md`) is asked first, then all of them: a race that a mutant opens is not lost every time. The document
is written anew; `--quick` leaves it as it is. With words, only the mutants whose rule or description contains one of
them. Exits with 1 when a mutant survives. Owns the copies; never touches the project itself but for that document.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mutants.catalogue import MUTANTS, Mutant
from mutants.table import DOCUMENT, document, killers

PROJECT = Path(__file__).parents[1]
TESTS = ("tests/core", "tests/instance")
COPIED = (
    "consistency", "metrics", "service", "simulation", "torture", *TESTS, "tests/support", "tests/__init__.py",
    "tests/conftest.py", "tests/fault_matrix", "tools/__init__.py", "tools/processes.py", "pyproject.toml",
)  # fmt: skip
TRIES = 3
"""Runs of a test by itself in which a mutant has to show again: where it opens a race, not every run loses it."""
PASSED, FAILED = 0, 1
"""pytest's exit codes. Whatever else it says is about the run and not about the mutant."""

PLUGINS = ("-p", "hypothesispytest", "-p", "timeout")
"""Those that the tests need. All that are installed would take pytest as long to load as most of the tests last."""


class Unsound(Exception):
    """The run tells nothing: a mutant does not apply, or a test fails without one."""


def main() -> int:
    asked = arguments()
    chosen = [mutant for mutant in MUTANTS if not asked.words or any(word in mutant.title for word in asked.words)]
    recorded = killers(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    tell(f"{len(chosen)} mutants; first the tests without any")
    check_unbroken(sorted({recorded[m.title] for m in chosen if m.title in recorded}) if asked.quick else everything())
    with ThreadPoolExecutor(asked.jobs) as pool:
        found = dict[str, str]()
        for mutant, killer in zip(chosen, pool.map(partial(killed_by, recorded), chosen), strict=True):
            tell(f"| {mutant.rule} | {mutant.break_} | {f'`{killer}`' if killer else '**nobody**'} |")
            found |= {mutant.title: killer} if killer else {}
    if not asked.quick:
        DOCUMENT.write_text(document(MUTANTS, recorded | found))
    survivors = [mutant.title for mutant in chosen if mutant.title not in found]
    if survivors:
        tell("\n".join([f"{len(survivors)} of {len(chosen)} mutants survived:", *survivors]))
        return 1
    tell(f"all {len(chosen)} mutants were noticed")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="leave docs/mutants.md as it is; without a mutant, run only what it names"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=4 * (os.cpu_count() or 1),  # of a test that fails, most of the time is a wait up to its deadline
        help="mutants at a time (default: %(default)s)",
    )
    parser.add_argument("words", nargs="*", metavar="word", help="only mutants whose rule or description has one")
    return parser.parse_args()


def killed_by(recorded: dict[str, str], mutant: Mutant) -> str:
    """The test that noticed, beneath `tests/`; empty when none did. Raises Unsound."""
    with copied() as copy:
        plant(mutant, copy)
        known = recorded.get(mutant.title)
        if known and first_failure(copy, [known]):
            return known
        return search(copy, mutant)


def search(copy: Path, mutant: Mutant) -> str:
    """The first of all tests that fails, and fails again by itself: so no test that is merely slow or lucky.

    Empty when none does. Raises Unsound where too many are merely slow or lucky.
    """
    by_chance = list[str]()
    while killer := first_failure(copy, everything(), without=by_chance):
        if any(first_failure(copy, [killer]) for _ in range(TRIES)):
            return killer
        by_chance.append(killer)
        if len(by_chance) == TRIES:
            raise Unsound(f"{mutant.title}: {', '.join(by_chance)} failed, and did not when run by themselves")
    return ""


def everything() -> list[str]:
    """The files of the protocol's tests. Last those that draw examples: what they notice once they may miss later."""
    files = [file for room in TESTS for file in (PROJECT / room).glob("test_*.py")]
    ordered = sorted(files, key=lambda file: ("hypothesis" in file.read_text(), file.name))
    return [str(file.relative_to(PROJECT / "tests")) for file in ordered]


def check_unbroken(tests: Sequence[str]) -> None:
    """Raises Unsound when one of the tests fails on a copy without a mutant."""
    with copied() as copy:
        if tests and (failed := first_failure(copy, tests)):
            raise Unsound(f"{failed} fails without a mutant")


def first_failure(copy: Path, tests: Sequence[str], without: Sequence[str] = ()) -> str:
    """The first of the tests that fails there, without its parameters; empty when all pass. Raises Unsound.

    without: those of them that are left out.
    """
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *PLUGINS,
         "--hypothesis-seed=0",
         *(f"tests/{test}" for test in tests), *(f"--deselect=tests/{test}" for test in without)],
        cwd=copy, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    named = re.search(r"^(?:FAILED|ERROR) tests/([^\s\[]+)", run.stdout, re.MULTILINE)
    if run.returncode == FAILED and named:
        return named.group(1)
    if run.returncode != PASSED:
        raise Unsound(f"pytest exited with {run.returncode}:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return ""


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what the tests need, to be broken."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        for name in COPIED:
            source, target = PROJECT / name, copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)  # compiled files too: what isn't broken need not be compiled again
            else:
                shutil.copy(source, target)
        yield copy


def plant(mutant: Mutant, copy: Path) -> None:
    """Breaks the copy. Raises Unsound when there is nothing to break."""
    file = copy / mutant.file
    text = file.read_text()
    if mutant.old not in text:
        raise Unsound(f"{mutant.title}: {mutant.file} has no {mutant.old!r}")
    file.write_text(text.replace(mutant.old, mutant.new, 1))


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
