"""What the state of an instance was at one moment, for those who go on from there or look at it. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from consistency.core.decisions import Lineage
from consistency.core.model import Revision


@dataclass(frozen=True, slots=True)
class Start:
    """Where a new watch stream starts: after these revisions. Its events count only while `epoch` lasts.

    lineage: how the history found stands to the one known before.
    """

    version_after: Revision
    members_after: Revision
    epoch: int
    lineage: Lineage


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of the state at one moment; the times are local seconds, as in `Freshness`."""

    slot: int | None
    lease: int
    horizon: Revision
    proved_at: float | None
    fresh_until: float
    entries: int
    bytes: int
    watch_up: bool
    renewed_at: float
