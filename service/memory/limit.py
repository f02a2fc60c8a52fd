"""How much memory this process may take: what its container has, as the kernel counts it, else what the machine has.

Reads the control groups of version 2 (`memory.max`) and 1 (`memory.limit_in_bytes`) where systems mount them. A group
has what the least of those around it has. Inside of a container the path may be that of the host: then what is mounted
is the container's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("sys/fs/cgroup")


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes. root: where /proc and /sys are."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, *_of_groups(root), machine)


def _of_groups(root: Path) -> Iterator[int]:
    for top, path, name in _memberships(root):
        group = top / path.lstrip("/")
        while True:
            if limit := _number(group / name):
                yield limit
            if group == top or top not in group.parents:
                break
            group = group.parent


def _memberships(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Where the groups that count memory are mounted, this process's path there, and the name of the limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield root / CGROUPS, path, "memory.max"
        elif "memory" in controllers.split(","):
            yield root / CGROUPS / "memory", path, "memory.limit_in_bytes"


def _number(file: Path) -> int:
    """0 where there is no such limit: no such file, or `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0
