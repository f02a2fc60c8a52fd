"""Which releases of etcd have faults that matter here. Pure: the one table, for the start and for the doctor.

Sources: etcd's changelogs of 3.4, 3.5 and 3.6; its postmortem on data inconsistency in 3.5; its issues 14110 and 14891,
on reads that are given up while it is slow (two faults, of which the second came with mending the first); its
advisories on roles, CVE-2026-33343 and -33413 (3.5.28, 3.6.9), -44283 (3.5.30, 3.6.11), -73499 (3.5.33, 3.6.14, 3.7.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Line = tuple[int, int]
"""A release line such as 3.5."""

RECOMMENDED: Mapping[Line, int] = {(3, 5): 22, (3, 6): 5}
"""The first release of each line that has no fault known to matter here. Newer lines are taken to have none."""


def _advice(releases: Mapping[Line, int]) -> str:
    return "use etcd " + " or ".join(f"≥ {major}.{minor}.{patch}" for (major, minor), patch in releases.items())


ADVICE = _advice(RECOMMENDED)


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
    Fault("a read that is given up may end the etcd that it was sent to", {(3, 4): 23, (3, 5): 7}, since=(3, 4)),
    Fault("a lease may be revoked although it was renewed", {(3, 4): 31, (3, 5): 13}, since=(3, 4)),
)

_OF_USERS = Fault("a user may get past the limits of its role", {(3, 5): 33, (3, 6): 14, (3, 7): 1}, since=(3, 0))

ADVICE_WITH_USERS = _advice(_OF_USERS.fixed)

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def weaknesses(version: str, *, users: bool = False) -> tuple[str, ...]:
    """What speaks against this release, as "3.5.1"; nothing if all is well. A pre-release counts as the release.

    users: whether etcd asks who one is, so that the limits of roles matter.
    """
    found = _VERSION.match(version)
    if not found:
        return (f"{version!r} is no version that this service knows",)
    major, minor, patch = map(int, found.groups())
    line = (major, minor)
    faults = tuple(fault.what for fault in ((*FAULTS, _OF_USERS) if users else FAULTS) if fault.affects(line, patch))
    if line < min(RECOMMENDED):
        return (*faults, f"{major}.{minor} is no longer mended")
    if patch < RECOMMENDED.get(line, 0):
        return faults or ("later releases mend faults that are less grave",)
    return faults
