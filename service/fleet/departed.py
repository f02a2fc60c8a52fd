"""Tells people who has gone within the last hour, and who is missing. Pure: turns what the protocol knows into JSON."""

from __future__ import annotations

import datetime
from typing import Any

from consistency.core.model import Departure, Status
from service.fleet.foreign import as_text
from service.fleet.members import describe, lease_id


def departed(status: Status, now: float) -> list[dict[str, Any]]:
    """The latest first. `now`: seconds since 1970, here; what another clock wrote may lie ahead of it."""
    return [_row(departure, now) for departure in status.departed]


def present(status: Status) -> int:
    """How many instances of the fleet are known here."""
    return len(status.present)


def missing(status: Status, expected: int) -> str:
    """One sentence if fewer are here than are expected (0 = not said), else nothing. Without a watch nobody knows."""
    here = present(status)
    return f"{here} of {expected} expected instances are here" if status.watch_up and here < expected else ""


def _row(departure: Departure, now: float) -> dict[str, Any]:
    about = describe(departure)
    at = datetime.datetime.fromtimestamp(departure.at, datetime.UTC)
    return {
        "slot": departure.slot,
        "how": departure.how,
        "at": at.isoformat(timespec="seconds"),
        "seconds_ago": round(max(0.0, now - departure.at)),
        "address": as_text(about.get("address")),
        "lease": lease_id(departure.lease),
        "description": about,
    }
