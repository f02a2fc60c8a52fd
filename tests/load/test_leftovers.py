"""A run of the load leaves nothing behind, however it is ended; whose run was killed is told from who lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.load.locust_run import ROOT
from tests.load.lying_server import LyingServer, lying
from tests.support.instances import within
from tools.load_leftovers import Run, dead_runs

pytestmark = pytest.mark.alone


@contextmanager
def started(server: LyingServer, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Users who write at once, in a directory of their own."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(ROOT / "locustfile.py"),
            "--headless",
            "-u",
            "4",
            "-r",
            "4",
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOST": server.address, "LOAD_PAUSE": "0.02", "LOAD_READS": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def marks(directory: Path) -> list[Path]:
    """Of runs that are under way, or dead."""
    return [*(directory / "instance" / "load-runs").glob("*")]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_it_early_finds_nothing_left(tmp_path: Path, how: signal.Signals) -> None:
    with lying("") as server, started(server, tmp_path) as process:
        assert within(20, lambda: len(server.documents) == 4)
        assert len(marks(tmp_path)) == 1
        os.killpg(process.pid, how)
        printed, _ = process.communicate(timeout=30)
        assert process.returncode == 0, printed
        assert server.documents == {}
    assert marks(tmp_path) == []
    assert [file.name for file in tmp_path.iterdir()] == ["instance"]
    assert f"4 users until Ctrl-C at {server.address}" in printed


def test_a_run_is_dead_when_nobody_holds_its_mark(tmp_path: Path) -> None:
    """Whatever is in it."""
    run = Run("alive", tmp_path)
    run.begin("http://127.0.0.1:1")
    (tmp_path / "dead").write_text('{"host": "http://127.0.0.1:2"}')
    (tmp_path / "torn").write_text("{")
    assert [(name, host) for name, host, _ in dead_runs(tmp_path)] == [("dead", "http://127.0.0.1:2")]
    run.end()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["dead", "torn"]
