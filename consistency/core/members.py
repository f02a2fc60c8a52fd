"""The fleet as values: who holds a slot, who waits, who has gone, what was acknowledged. Frozen, without I/O."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from consistency.core.versions import Revision, VersionState

SLOTS = 64
"""Most instances that may cache at once (rule 9)."""

WAITING = 64
"""Instances beyond those that are shown and scraped while they wait for a slot. Still further ones serve unseen."""


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of the fleet, as its member key tells it. Without a slot it waits for one, and serves uncached."""

    slot: int | None
    lease: int
    created: Revision
    description: str  # JSON, as the instance wrote it
    holds: bool = False  # whether it knows guarded keys (rule 17); releases before that don't say so

    @classmethod
    def read(cls, slot: int | None, lease: int, created: Revision, told: str) -> Member:
        """Read a member from what is stored in its key, which `with_holds` made."""
        if not told.startswith(_HOLDS):
            return cls(slot, lease, created, told)
        return cls(slot, lease, created, "{" + told[len(_HOLDS) :].removeprefix(", "), holds=True)


_HOLDS = '{"holds": true'


def with_holds(description: str) -> str:
    """What an instance stores in its member key: its description, and that it knows guarded keys.

    One that is no JSON object is stored as it is: its instance is taken for one that does not know them.
    """
    rest = description.strip().removeprefix("{").lstrip()
    if rest == description.strip():
        return description
    return f"{_HOLDS}{rest}" if rest.startswith("}") else f"{_HOLDS}, {rest}"


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """One change beneath `P/members/`, seen by the watch. `member` is None when the slot became free."""

    revision: Revision
    slot: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An instance waits for a slot, or, if `member` is None, does not wait any more."""

    revision: Revision
    lease: int
    member: Member | None


@dataclass(frozen=True, slots=True)
class Look:
    """What an audit knows as of a version (rule 13): how many documents there were.

    All that was written from outside before it has been told.
    """

    version: VersionState
    documents: int

    def told(self) -> dict[str, object]:
        """As a part of JSON."""
        seen = self.version
        state: dict[str, object] = {
            "revision": seen.revision,
            "created": seen.created,
            "count": seen.count,
            "nonce": seen.nonce,
        }
        return state | {"documents": self.documents}

    @classmethod
    def of(cls, told: object) -> Look | None:
        """Reads what `told` made; None for anything else."""
        match told:
            case {
                "revision": int(revision),
                "created": int(created),
                "count": int(count),
                "nonce": str(nonce),
                "documents": int(documents),
            } if documents >= 0:
                return cls(VersionState(revision, created, count, nonce), documents)
        return None


@dataclass(frozen=True, slots=True)
class Departure:
    """One instance that has gone, by the lease that held its key.

    slot: the one it held. how: "left" (it said so before it went), "lost" (its lease ended, or its key was deleted,
    and it had said nothing), or "back" (lost, and the same process is or was here again).
    at: seconds since 1970, by the clock of whoever wrote it down: for people. description: as in `Member`.
    look: what its last audit knew, for the next one to go on from.
    """

    lease: int
    slot: int | None
    how: str
    at: float
    description: str
    look: Look | None = None

    def encode(self) -> bytes:
        """The JSON stored under `P/members/departed/<lease>`."""
        about = self.description if len(self.description) <= LONGEST_DESCRIPTION else "{}"
        told = {"slot": self.slot, "how": self.how, "at": round(self.at, 3), "description": about}
        look = {} if self.look is None else {"look": self.look.told()}
        return json.dumps(told | look).encode()

    @classmethod
    def decode(cls, lease: int, raw: bytes) -> Departure | None:
        """Reads what `encode` wrote; None for anything else."""
        try:
            told = json.loads(raw)
            slot, how, at, about = told["slot"], told["how"], told["at"], told["description"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        known = how in ("left", "lost") and (slot is None or (type(slot) is int and 0 <= slot < SLOTS))
        # A date that a calendar has: whoever shows it must not fail.
        dated = type(at) in (int, float) and math.isfinite(at) and 0 <= at < 1e11
        if not (known and dated and isinstance(about, str)):
            return None
        return cls(lease, slot, how, float(at), about, Look.of(told.get("look")))


LONGEST_DESCRIPTION = 4096
"""Characters of a description that are kept when its instance has gone."""


@dataclass(frozen=True, slots=True)
class DepartureEvent:
    """It was written down that somebody has gone, or, if `departure` is None, what was written is gone."""

    revision: Revision
    lease: int
    departure: Departure | None


@dataclass(frozen=True, slots=True)
class AckEvent:
    """The instance in `slot` has applied every version up to `applied`, seen by the watch (rule 12)."""

    revision: Revision
    slot: int
    applied: Revision
