"""A real instance over a real etcd, and `configctl` as a command for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.etcd import dying_with_us
from tests.support.instances import PROJECT

CLIENT = PROJECT / "client"


def environ(**more: str) -> dict[str, str]:
    """This process's variables, without those that the command line heeds, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONFIG", "XDG_"))}
    ours = {"PYTHONPATH": str(CLIENT), "NO_PROXY": "*", "PYTHONUNBUFFERED": "1", "XDG_CONFIG_HOME": "/nowhere"}
    return {**kept, **ours, **more}


class Command:
    """`configctl` for one address, as a process."""

    def __init__(self, url: str, directory: Path, **variables: str) -> None:
        self._arguments = [sys.executable, "-m", "config_client.ctl"]
        self._directory = directory
        self._environ = environ(CONFIG_URL=url, **variables)

    def run(self, *arguments: str, stdin: str = "", **more: Any) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [*self._arguments, *arguments],
            cwd=self._directory,
            env={**self._environ, **more.pop("env", {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **more,
        )

    def run_on(self, terminal: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, its standard input a terminal."""
        return subprocess.run(
            [*self._arguments, *arguments],
            cwd=self._directory,
            env=self._environ,
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *arguments: str, **more: Any) -> str:
        """What it prints, having succeeded."""
        done = self.run(*arguments, **more)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start it: it ends when a test ends it, or with us."""
        command: Sequence[str] = dying_with_us([*self._arguments, *arguments])
        return subprocess.Popen(
            command,
            cwd=self._directory,
            env={**self._environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
