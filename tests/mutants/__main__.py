"""Breaks the protocol, one rule at a time, and tells which test noticed: `python -m tests.mutants [word …]`.

Each mutant is a copy of the project with one change; the tests of the protocol must fail on it. With words, only the
mutants whose description or rule contains one of them. Exits with 1 when a mutant survives, or no longer applies.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.catalogue import MUTANTS, Mutant

PROJECT = Path(__file__).parents[2]
COPIED = ("consistency", "tests/protocol", "tests/support", "tests/__init__.py", "pyproject.toml")
SECONDS = 300.0
"""Until a mutant that makes a test hang counts as noticed."""


def main(words: list[str]) -> int:
    chosen = [m for m in MUTANTS if not words or any(word in f"rule {m.rule}: {m.break_}" for word in words)]
    survivors = 0
    print("| rule | mutant | killed by |\n|---|---|---|")  # noqa: T201  # its output
    for mutant in chosen:
        killer = killed_by(mutant)
        survivors += killer == ""
        print(f"| {mutant.rule} | {mutant.break_} | {killer or '**nobody**'} |", flush=True)  # noqa: T201
    return 1 if survivors else 0


def killed_by(mutant: Mutant) -> str:
    """The test that noticed; empty when none did. Raises ValueError when the mutant does not apply."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        copy = Path(directory)
        plant(mutant, copy)
        try:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "tests/protocol"],
                cwd=copy, capture_output=True, text=True, timeout=SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "a test that hangs"
    if run.returncode == 0:
        return ""
    named = re.search(r"^(?:FAILED|ERROR) (?:tests/protocol/)?(\S+)", run.stdout, re.MULTILINE)
    return f"`{named.group(1)}`" if named else "collection"


def plant(mutant: Mutant, copy: Path) -> None:
    """Copies the project and breaks the copy."""
    for name in COPIED:
        source, target = PROJECT / name, copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (copy / "service").symlink_to(PROJECT / "service")
    file = copy / mutant.file
    text = file.read_text()
    if mutant.old not in text:
        raise ValueError(f"rule {mutant.rule}, {mutant.break_}: {mutant.file} has no {mutant.old!r}")
    file.write_text(text.replace(mutant.old, mutant.new, 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
