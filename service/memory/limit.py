"""How much memory and how many processors this process may take: what its container has, else what the machine has.

Reads the control groups of version 2 (`memory.max`, `cpu.max`) and 1 (`memory.limit_in_bytes`, `cpu.cfs_quota_us`)
where systems mount them. A group has what the least of those around it has. Inside of a container the path may be that
of the host: then what is mounted is the container's own.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("sys/fs/cgroup")

_QUOTA, _PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"


def memory_limit(root: Path = Path("/")) -> int:
    """Bytes. root: where /proc and /sys are."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machine, *_of_groups(root), machine)


def most_processors(root: Path = Path("/")) -> int:
    """Whole processors for which there is time, one at least: what the groups' quotas allow, else those of the machine.

    root: where /proc and /sys are.
    """
    quotas = [
        quota
        for top, path, name in _memberships(root, "cpu", "cpu.max", _QUOTA)
        for group in _upwards(top, path)
        if (quota := _processors(group, name))
    ]
    return max(1, math.floor(min(quotas, default=float(os.cpu_count() or 1))))


def _processors(group: Path, name: str) -> float:
    """0 where there is no such limit."""
    try:
        if name == _QUOTA:
            quota, period = (group / name).read_text(), (group / _PERIOD).read_text()
        else:
            quota, period = (group / name).read_text().split()
        return max(0.0, int(quota) / int(period))  # -1: none
    except (OSError, ValueError, ZeroDivisionError):
        return 0.0


def _of_groups(root: Path) -> Iterator[int]:
    for top, path, name in _memberships(root, "memory", "memory.max", "memory.limit_in_bytes"):
        for group in _upwards(top, path):
            if limit := _number(group / name):
                yield limit


def _upwards(top: Path, path: str) -> Iterator[Path]:
    """The group of that path, and those around it."""
    group = top / path.lstrip("/")
    while True:
        yield group
        if group == top or top not in group.parents:
            return
        group = group.parent


def _memberships(root: Path, controller: str, name_2: str, name_1: str) -> Iterator[tuple[Path, str, str]]:
    """Where the groups that count it are mounted, this process's path there, and the name of the limit.

    name_2, name_1: of that limit, in version 2 and in 1.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield root / CGROUPS, path, name_2
        elif controller in controllers.split(","):
            yield root / CGROUPS / controller, path, name_1


def _number(file: Path) -> int:
    """0 where there is no such limit: no such file, or `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0
