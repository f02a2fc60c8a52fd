"""An earlier version of the service, as git remembers it: what a fleet runs while it is upgraded.

The newest release that this checkout descends from; as long as there is none, a commit from before the first release. A
clone without that history has the commit before its last; one without any runs this version twice.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.support.instances import PROJECT, InstanceProcess

BEFORE_RELEASES = "51c1d6c"
PARTS = ("service", "consistency", "metrics", "pyproject.toml")


class Earlier(NamedTuple):
    """name: as git has it. directory: where its packages lie."""

    name: str
    directory: Path

    def instance(self, directory: Path, **settings: str) -> InstanceProcess:
        """An instance of it, on the packages that are installed for this one."""
        return InstanceProcess(directory, PYTHONPATH=str(self.directory), **settings)


def earlier(directory: Path) -> Earlier:
    """Unpacks it into `directory`. Raises CalledProcessError when git can't."""
    releases = _git("tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname").split()
    for name in (*releases[:1], BEFORE_RELEASES, "HEAD~1"):
        if commit := _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip():
            there = directory / "earlier"
            there.mkdir(parents=True)
            command = ["git", "-c", "safe.directory=*", "archive", "--format=tar", commit, *PARTS]
            archive = subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=60, check=True).stdout
            subprocess.run(["tar", "-x"], cwd=there, input=archive, timeout=60, check=True)
            return Earlier(name, there)
    return Earlier("this version", PROJECT)


def _git(*arguments: str) -> str:
    """What it prints; nothing where there is no such thing, or no git."""
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False).stdout
