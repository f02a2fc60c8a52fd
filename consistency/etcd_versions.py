"""Which releases of etcd have faults that matter here. Pure: the one table, for the start and for the doctor.

Sources: etcd's changelogs of 3.4, 3.5 and 3.6, and its postmortem on data inconsistency in 3.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Line = tuple[int, int]
"""A release line such as 3.5."""

RECOMMENDED: Mapping[Line, int] = {(3, 5): 22, (3, 6): 5}
"""The first release of each line that has no fault known to matter here. Newer lines are taken to have none."""

ADVICE = "use etcd " + " or ".join(f"≥ {major}.{minor}.{patch}" for (major, minor), patch in RECOMMENDED.items())


@dataclass(frozen=True, slots=True)
class Fault:
    """`fixed`: the first release without it, of each line that had it. `since`: the first line that had it."""

    what: str
    fixed: Mapping[Line, int]
    since: Line

    def affects(self, line: Line, patch: int) -> bool:
        """Whether this release has it. A line between the first and the last that is not named was never mended."""
        return self.since <= line <= max(self.fixed) and patch < self.fixed.get(line, patch + 1)


FAULTS = (
    Fault("members may come to hold different data after a crash under load", {(3, 5): 3}, since=(3, 5)),
    Fault("progress notifications of a watch may overtake its events", {(3, 4): 25, (3, 5): 8}, since=(3, 4)),
    Fault("a lease may be revoked although it was renewed", {(3, 4): 31, (3, 5): 13}, since=(3, 4)),
)

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def weaknesses(version: str) -> tuple[str, ...]:
    """What speaks against this release, as "3.5.1"; nothing if all is well. A pre-release counts as the release."""
    found = _VERSION.match(version)
    if not found:
        return (f"{version!r} is no version that this service knows",)
    major, minor, patch = map(int, found.groups())
    line = (major, minor)
    faults = tuple(fault.what for fault in FAULTS if fault.affects(line, patch))
    if line < min(RECOMMENDED):
        return (*faults, f"{major}.{minor} is no longer mended")
    if patch < RECOMMENDED.get(line, 0):
        return faults or ("later releases mend faults that are less grave",)
    return ()
