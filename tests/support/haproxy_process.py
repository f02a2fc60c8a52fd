"""One HAProxy with a configuration of ours, and what it counts. Owns the process and the two files."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.etcd import dying_with_us, wait_for
from tools import haproxy
from tools.processes import listens

BACKEND = "instances"
"""What the backend is called that is asked about."""

STOP_WITHIN = 5.0


class HaproxyProcess:
    """As a context manager it starts, and listens when it is entered. How it is asked, a subclass says.

    port: one of those that it listens at.
    """

    def __init__(self, directory: Path, configuration: str, port: int) -> None:
        self.port = port
        self._log = directory / "haproxy.log"
        self._file = directory / "haproxy.cfg"
        self._file.write_text(configuration, encoding="utf-8")

    def __enter__(self) -> Self:
        program = haproxy.find()
        assert program, "haproxy is not installed"
        with self._log.open("wb") as log:
            command = dying_with_us([program, "-db", "-f", str(self._file)])
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._is_ready, what="HAProxy listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(STOP_WITHIN)

    def total(self, *names: str) -> dict[str, int]:
        """Counters over all instances, by HAProxy's names: `wretr` connections tried again, `wredis` elsewhere, …"""
        row = self.row("BACKEND")
        return {name: int(row[name]) for name in names}

    def row(self, name: str) -> dict[str, str]:
        """The statistics of one server of the backend, or of all of them: "BACKEND"."""
        rows = csv.DictReader(self.statistics().removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == (BACKEND, name))

    def statistics(self) -> str:
        """All of them, as CSV. Raises OSError when it doesn't answer."""
        raise NotImplementedError

    def printed(self) -> str:
        """Its log: which instances it lost and found again."""
        return self._log.read_text(errors="replace")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, self.printed()
        return self._answers() and listens(self._process.pid, self.port)

    def _answers(self) -> bool:
        try:
            return bool(self.statistics())
        except OSError:
            return False
