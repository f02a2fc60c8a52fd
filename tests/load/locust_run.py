"""Runs locust headless, in a process of its own: it patches the standard library, which nobody else here can bear."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import table

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How a run ended: locust's exit code, all it printed, and its table by request name."""

    exit_code: int
    output: str
    rows: dict[str, table.Row]


def run(
    host: str, directory: Path, *classes: str, users: int, seconds: int, pause: float = 0.35, **settings: str
) -> LoadResult:
    """Runs the users of locustfile.py, all at once, against `host`; `pause` seconds between two requests of a user.

    classes: which users, if not the usual ones.
    """
    load = ["-u", str(users), "-r", str(users), "-t", f"{seconds}s"]
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "--only-summary", *load, *classes],
        cwd=ROOT,
        env={**os.environ, "HOST": host, "LOAD_PAUSE": str(pause), "LOAD_RESULT": str(directory / "load"), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    stats = directory / "load.json"
    return LoadResult(done.returncode, done.stdout, table.read(stats) if stats.exists() else {})
