"""Writes the exact versions of all that is installed, with hashes: `make lock`. pip takes these files and no others.

Each lock is made from what people write: pyproject.toml, and the files that say what tests, load test and bench need
besides. A version that is in a lock stays, as long as it is allowed; `--upgrade` takes the newest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parent.parent


class Lock(NamedTuple):
    """file: what is written. sources: what it is made from. options: what uv is told besides."""

    file: str
    sources: tuple[str, ...]
    options: tuple[str, ...] = ()


LOCKS = (
    # The platform's buildpack looks for this name.
    Lock("requirements.txt", ("pyproject.toml",), ("--extra", "embedded")),
    Lock("requirements-dev.lock", ("requirements-dev.txt",)),
    Lock("tools/requirements-load.lock", ("tools/requirements-load.txt",), ("--constraint", "requirements-dev.lock")),
    Lock("bench/requirements.lock", ("bench/requirements.txt",), ("--constraint", "requirements-dev.lock")),
)
"""In this order: a later one takes the versions of an earlier one."""

# For every platform and each Python that the project takes, whichever runs this.
UV = (
    "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--annotation-style", "line", "--custom-compile-command", "make lock",
)  # fmt: skip


def write(lock: Lock, *, upgrade: bool) -> None:
    """Asks the package index. Raises CalledProcessError when it can't be written; uv has said why."""
    more = ("--upgrade",) if upgrade else ()
    command = [sys.executable, "-m", "uv", *UV, *more, *lock.options, *lock.sources, "--output-file", lock.file]
    subprocess.run(command, cwd=PROJECT, check=True)


def main() -> int:
    """Writes all of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.lock", description="Writes the locks.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that are allowed")
    arguments = parser.parse_args()
    for lock in LOCKS:
        try:
            write(lock, upgrade=arguments.upgrade)
        except subprocess.CalledProcessError as error:
            return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
