"""The programs that a package manager has to install: where they are, and what to do when they aren't there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
"""Debian keeps daemons where ordinary users don't look."""


def find(program: str) -> str | None:
    """Where it is, or None."""
    return shutil.which(program, path=PATH)


def explain_missing(programs: Iterable[str]) -> str | None:
    """None when all of these are there; else what is missing, and how to install it."""
    missing = sorted(program for program in set(programs) if find(program) is None)
    if not missing:
        return None
    names = " ".join(missing)
    return (
        f"not installed: {', '.join(missing)}. On Debian and Ubuntu: apt-get install {names}; "
        f"on macOS: brew install {names.replace('redis-server', 'redis')}"
    )
