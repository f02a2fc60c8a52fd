"""HAProxy as it is deployed, in front of instances of a test, and what it counts.

Owns the process. Adds nothing to the configuration but a page of statistics on a port of its own: what is shown with
this balancer holds for the one that users start.
"""

from __future__ import annotations

import csv
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy import haproxy
from tests.support.etcd import dying_with_us, wait_for

DRAIN = 2
STOP_WITHIN = 5.0

_STATISTICS = """
listen statistics
    bind 127.0.0.1:{port}
    stats enable
    stats uri /
"""


class Balancer:
    """One HAProxy. As a context manager it starts, and listens when it is entered."""

    def __init__(self, directory: Path, port: int, statistics_port: int, instances: Sequence[int]) -> None:
        self.port = port
        self._statistics = f"http://127.0.0.1:{statistics_port}/;csv"
        self._log = directory / "haproxy.log"
        self._file = directory / "haproxy.cfg"
        backends = [f"127.0.0.1:{each}" for each in instances]
        text = haproxy.configuration(f"127.0.0.1:{port}", backends, drain=DRAIN)
        self._file.write_text(text + _STATISTICS.format(port=statistics_port), encoding="utf-8")

    def __enter__(self) -> Self:
        program = haproxy.find()
        assert program, "haproxy is not installed"
        with self._log.open("wb") as log:
            command = dying_with_us([program, "-db", "-f", str(self._file)])
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._answers, what="HAProxy listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(STOP_WITHIN)

    def sends_to(self, number: int) -> bool:
        """Whether an instance gets requests: it is up, or was until the last check."""
        return self._row(f"instance-{number}")["status"].startswith("UP")

    def served(self, number: int) -> int:
        """How many requests an instance has been sent so far."""
        return int(self._row(f"instance-{number}")["stot"])

    def total(self, *names: str) -> dict[str, int]:
        """Counters over all instances, by HAProxy's names: `wretr` connections tried again, `wredis` elsewhere, …"""
        row = self._row("BACKEND")
        return {name: int(row[name]) for name in names}

    def printed(self) -> str:
        """Its log: which instances it lost and found again."""
        return self._log.read_text(errors="replace")

    def _row(self, name: str) -> dict[str, str]:
        """The statistics of one server of the backend, or of all of them."""
        with urllib.request.urlopen(self._statistics, timeout=5) as answer:
            rows = csv.DictReader(answer.read().decode().removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == ("instances", name))

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.printed()
        try:
            return bool(self._row("BACKEND"))
        except OSError:
            return False
