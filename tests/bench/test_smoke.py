"""The bench runs: every row, briefly. How fast anything is, no test says."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.rows import CONTESTS
from tests.bench.programs import need_wrk

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).parents[2]
GONE_WITHIN = 30.0
"""Seconds: instances drain, etcd ends last."""


def bench(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """`python -m bench …` as a user runs it, in a directory of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def running_in(directory: Path) -> list[bytes]:
    """The command lines of processes that were started in this directory (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if (process / "cwd").readlink().is_relative_to(directory) and (process / "cmdline").read_bytes():
                found.append((process / "cmdline").read_bytes())
    return found


@pytest.mark.timeout(300)
def test_every_row_is_measured_and_printed(tmp_path: Path) -> None:
    """All peers start, serve the same bytes, and answer nothing but successes; figures are left, and nothing else."""
    need_wrk()
    said, _ = (done := bench(tmp_path, "--quick")).communicate(timeout=280)
    assert done.returncode == 0, said
    for contest in CONTESTS:
        for figure, target in contest.targets.items():
            assert f"| {contest.name} | {figure} | {target} |" in said
    kept = json.loads((tmp_path / "instance" / "bench.json").read_text())["results"]
    assert list(kept) == [contest.name for contest in CONTESTS]
    for contest in CONTESTS:
        (rounds,) = kept[contest.name].values()
        assert len(rounds["ours"]) == 1
        assert len(rounds["peer"]) == (0 if contest.peer is None else 1)
        assert all(rounds["ours"][0][figure] >= 0 for figure in contest.targets)

    assert running_in(tmp_path) == []
    assert [each.name for each in (tmp_path / "instance").iterdir()] == ["bench.json"]


@pytest.mark.parametrize("quick", [(), ("--quick",)], ids=["one session", "a session each"])
def test_bench_that_is_killed_leaves_nothing_running(tmp_path: Path, quick: tuple[str, ...]) -> None:
    """kill -9 in the middle of a load: instance, etcd, peer and load end by themselves."""
    need_wrk()
    running = bench(tmp_path, "--rows", "fresh", "read", "--rounds", "3", *quick)
    until = time.monotonic() + 60
    while sum(b"-m\0service" in each for each in running_in(tmp_path)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert sum(b"-m\0service" in each for each in running_in(tmp_path)) >= 2
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=GONE_WITHIN)
    until = time.monotonic() + GONE_WITHIN
    while (left := running_in(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def test_missing_wrk_is_named_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how to install it; exit code 2."""
    from bench import processes

    monkeypatch.setattr(processes, "PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["--quick"]) == 2
    assert "wrk is not installed. On Debian and Ubuntu: apt-get install wrk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_word_that_fits_no_row_is_answered_with_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", "memcached"]) == 2
    assert CONTESTS[0].name in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--quick"], ["--rows", "flask"]])
def test_document_is_written_from_a_whole_run_alone(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--document", "docs/performance.md", *more])
    assert "--document without --quick and --rows" in capsys.readouterr().err


def test_rounds_without_an_end_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seconds", "100000"])
    assert "expected at least one round" in capsys.readouterr().err
