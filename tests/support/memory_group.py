"""A control group with a memory limit, as containers have one; version 2, or 1 where that is what counts memory.

Owns the group, and removes it. Whatever runs in it must have ended before.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path("/sys/fs/cgroup")
V1 = ROOT / "memory"
USABLE = os.access(V1 if V1.exists() else ROOT, os.W_OK) and (V1.exists() or (ROOT / "memory.stat").exists())
"""Whether groups can be made here: as root, where the kernel counts memory."""


class MemoryGroup:
    """A context manager: within it there is a group of `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._group = (V1 if V1.exists() else ROOT) / f"config-service-test-{os.getpid()}"

    def __enter__(self) -> Self:
        if not V1.exists():
            (ROOT / "cgroup.subtree_control").write_text("+memory")
        self._group.mkdir()
        (self._group / self._name("limit_in_bytes", "max")).write_text(str(self._limit))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        deadline = time.monotonic() + 10.0
        while True:
            try:
                return self._group.rmdir()
            except OSError:  # one that has ended still counts until it has been waited for
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def around(self, *command: str) -> list[str]:
        """The command line for a process that is in the group before it does anything."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._group / "cgroup.procs"), *command]

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._group

    @property
    def most(self) -> int:
        """Bytes: the most that it has held, with the files that the kernel can drop."""
        return int((self._group / self._name("max_usage_in_bytes", "peak")).read_text())

    @property
    def used(self) -> int:
        """Bytes, as the kernel counts them, without the files that it can drop."""
        stat = dict(line.split() for line in (self._group / "memory.stat").read_text().splitlines())
        usage = int((self._group / self._name("usage_in_bytes", "current")).read_text())
        return usage - int(stat["total_inactive_file" if V1.exists() else "inactive_file"])

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed for want of memory."""
        lines = (self._group / self._name("oom_control", "events")).read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @staticmethod
    def _name(first: str, second: str) -> str:
        return f"memory.{first if V1.exists() else second}"
