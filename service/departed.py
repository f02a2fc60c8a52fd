"""Who has gone within the last hour, for people. Pure: turns what the protocol knows into JSON."""

from __future__ import annotations

import datetime
from typing import Any

from consistency.terms import Departure, Status
from service.members import describe


def departed(status: Status, now: float) -> list[dict[str, Any]]:
    """The latest first. `now`: seconds since 1970, here; what another clock wrote may lie ahead of it."""
    return [_row(departure, now) for departure in status.departed]


def _row(departure: Departure, now: float) -> dict[str, Any]:
    about = describe(departure)
    at = datetime.datetime.fromtimestamp(departure.at, datetime.UTC)
    return {
        "slot": departure.slot,
        "how": departure.how,
        "at": at.isoformat(timespec="seconds"),
        "seconds_ago": round(max(0.0, now - departure.at)),
        "address": str(about.get("address", "")),
        "lease": f"{departure.lease:x}",
        "description": about,
    }
