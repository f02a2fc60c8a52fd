"""The bench runs: every row, briefly. How fast anything is, no test says."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rows import ROWS
from tests.bench.programs import need

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).parents[2]


def bench(directory: Path, *arguments: str, path: str = "", module: str = "bench") -> subprocess.CompletedProcess[str]:
    """`python -m bench …` as a user runs it, in a directory of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **({"PATH": path} if path else {})},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def running_in(directory: Path) -> list[bytes]:
    """The command lines of processes that were started in this directory (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if (process / "cwd").readlink().is_relative_to(directory):
                found.append((process / "cmdline").read_bytes())
    return found


@pytest.mark.timeout(300)
def test_every_row_is_measured_and_printed(tmp_path: Path) -> None:
    """All peers start, serve the same bytes, and answer nothing but successes; figures are left, and nothing else."""
    need("wrk", *(program for row in ROWS for program in row.programs))
    done = bench(tmp_path, "--smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row.name for row in ROWS if row.name not in done.stdout] == []
    kept = json.loads((tmp_path / "instance" / "bench.json").read_text())["rows"]
    assert [each["name"] for each in kept] == [row.name for row in ROWS]
    assert all(figure > 0 for each in kept for figure in each["ours"])
    assert [len(each["peer"]) for each in kept] == [1 if row.measure_peer else 0 for row in ROWS]

    assert running_in(tmp_path) == []
    assert [each.name for each in (tmp_path / "instance").iterdir()] == ["bench.json"]

    table = bench(tmp_path, "instance/bench.json", module="bench.table")
    assert [row.name for row in ROWS if f"| {row.name} |" not in table.stdout] == []


def test_missing_programs_are_named_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install them; exit code 2."""
    from bench import programs
    from bench.__main__ import main

    monkeypatch.setattr(programs, "PATH", str(tmp_path))
    assert main(["nginx"]) == 2
    assert programs.explain_missing(["wrk", "nginx"]) == (
        "not installed: nginx, wrk. On Debian and Ubuntu: apt-get install nginx wrk; on macOS: brew install nginx wrk"
    )


def test_word_that_fits_no_row_is_answered_with_the_rows(tmp_path: Path) -> None:
    done = bench(tmp_path, "memcached")
    assert done.returncode == 2
    assert ROWS[0].name in done.stderr
