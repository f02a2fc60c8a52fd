"""Becomes a program that is confined as a unit of systemd says: `python confined.py UNIT COMMAND…`. Linux, libseccomp.

Owns the translation of the unit's own words. What needs a user of its own, or the manager's namespaces (`ProtectSystem`
and the like), is not done here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_MDWE = 38, 24, 65
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")
SCMP_ACT_ALLOW, SCMP_ACT_ERRNO = 0x7FFF0000, 0x00050000

Unit = dict[str, list[str]]


def read(unit: Path) -> Unit:
    """The values of each name, in their order."""
    found: Unit = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z]+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


def calls_of(groups: Iterable[str]) -> set[str]:
    """The system calls in systemd's groups, as `systemd-analyze` tells them."""
    found: set[str] = set()
    for group in groups:
        told = subprocess.run(
            ["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
        ).stdout
        words = [line.strip() for line in told.splitlines()[1:] if line.startswith("    ") and "#" not in line]
        found |= {word for word in words if not word.startswith("@")}
        found |= calls_of(word for word in words if word.startswith("@"))
    return found


def allowed(unit: Unit) -> set[str]:
    """The first list is of what may be, those with a tilde take away."""
    calls: set[str] = set()
    for words in unit["SystemCallFilter"]:
        named = calls_of(words.removeprefix("~").split())
        calls = calls - named if words.startswith("~") else calls | named
    return calls | calls_of(["@default"]) | {"execve"}  # as systemd adds


def confine(unit: Unit) -> None:
    """From now on, for this process and all that it becomes and starts."""
    calls = allowed(unit)  # starts a process, so before anything is forbidden
    os.umask(int(unit["UMask"][-1], 8))
    libc = ctypes.CDLL(None, use_errno=True)
    if unit["CapabilityBoundingSet"] == [""] and os.geteuid() == 0:
        for capability in range(int(LAST_CAPABILITY.read_text()) + 1):
            _done(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
    if unit["NoNewPrivileges"] == ["yes"]:
        _done(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        _done(libc.prctl(PR_SET_MDWE, 1, 0, 0, 0), unless=errno.EINVAL)  # of kernels before 6.3
    _filter(calls)


def _filter(calls: set[str]) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(SCMP_ACT_ERRNO | errno.EPERM))
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # negative: not of this architecture
            _done(-seccomp.seccomp_rule_add(context, SCMP_ACT_ALLOW, number, 0))
    _done(-seccomp.seccomp_load(context))


def _done(result: int, *, unless: int = 0) -> None:
    if result and ctypes.get_errno() != unless:
        raise OSError(ctypes.get_errno() or abs(result), "the kernel refused")


if __name__ == "__main__":
    confine(read(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
