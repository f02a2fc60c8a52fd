"""A real instance over a real etcd, and `configctl` as a command for it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from config_client import Connection
from config_client.ctl.__main__ import run
from tests.support.etcd import dying_with_us
from tests.support.instances import PROJECT

CLIENT = PROJECT / "client"


def environ(**more: str) -> dict[str, str]:
    """This process's variables, without those that the command line heeds, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CONFIG", "XDG_"))}
    ours = {"PYTHONPATH": str(CLIENT), "NO_PROXY": "*", "PYTHONUNBUFFERED": "1", "XDG_CONFIG_HOME": "/nowhere"}
    return {**kept, **ours, **more}


@dataclass(frozen=True)
class Done:
    """What a command has come to."""

    returncode: int
    stdout: str
    stderr: str


class Command:
    """`configctl` for one address: in this process, which is quick; as one of its own where that matters."""

    def __init__(self, url: str, directory: Path, **variables: str) -> None:
        self._arguments = [sys.executable, "-m", "config_client.ctl"]
        self._directory = directory
        self._environ = environ(**{"CONFIG_URL": url, **variables})
        self.connection = Connection(url.split(","), trust_env=False)

    def run(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Done:
        """Run it to its end, in this process."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
        with (
            patch.dict(os.environ, {**self._environ, **(env or {})}, clear=True),
            patch("sys.stdin", given),
            redirect_stdout(out),
            redirect_stderr(err),
            chdir(self._directory),
        ):
            code = run(list(arguments))
        return Done(code, *(each.buffer.getvalue().decode() for each in (out, err)))

    def process(self, *arguments: str, env: Mapping[str, str] | None = None) -> Done:
        """Run it to its end as a process of its own."""
        done = subprocess.run(
            [*self._arguments, *arguments],
            cwd=self._directory,
            env={**self._environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def run_on(self, terminal: int, *arguments: str) -> Done:
        """Run it to its end, its standard input a terminal."""
        done = subprocess.run(
            [*self._arguments, *arguments],
            cwd=self._directory,
            env=self._environ,
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

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
