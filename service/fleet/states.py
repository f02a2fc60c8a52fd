"""What an instance says of itself to the fleet page, and what is made of the answers of all. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from consistency.core.model import Member, Status
from metrics import Totals
from service.fleet.foreign import LONGEST, as_text, number_of, read_object
from service.fleet.members import describe, lease_id
from service.fleet.peers import Heard
from service.fleet.recent import Recent
from service.fleet.state_shape import state_in

STATE = "/members/me"
"""Where each instance tells its state."""


def state(
    status: Status, totals: Totals, *, bound: float, draining: bool, recent: Recent | None = None
) -> dict[str, Any]:
    """Return the state of this instance, now. Counts go up from the start of the process; `bound` is B in seconds.

    recent: its last minutes, if they are asked for.
    """
    minutes = {} if recent is None else {"recent": recent.ago()}
    return {
        **minutes,
        "slot": status.slot,
        "ready": not status.why_not_ready and not draining,
        "why_not": status.why_not_ready,
        "draining": draining,
        "fresh": status.fresh,
        "proof_age": _rounded(status.proof_age),
        "bound": bound,
        "horizon": status.horizon,
        "watch_up": status.watch_up,
        "lease_age": _rounded(status.lease_age),
        "loop_lag": _rounded(status.loop_lag),
        "entries": status.entries,
        "bytes": status.bytes,
        "reads": dict(totals.reads),
        "requests": totals.requests,
        "errors": totals.errors,
    }


def mine(status: Status, own: dict[str, Any]) -> dict[str, Any]:
    """The row of the instance that answers."""
    return {**_row(status.me, own, ""), "me": True}


def theirs(heard: Heard) -> dict[str, Any]:
    """The row of another one."""
    return _row(heard.member, *_read(heard))


def _read(heard: Heard) -> tuple[dict[str, Any] | None, str]:
    if heard.why_not:
        return None, heard.why_not
    if heard.status != HTTPStatus.OK:
        return None, f"it answered {heard.status}"
    said = read_object(heard.body)
    state = state_in(said) if said else None
    return (state, "") if state else (None, "its answer is none that this release understands")


def _row(member: Member | None, said: dict[str, Any] | None, why_not: str) -> dict[str, Any]:
    about = {} if member is None else describe(member)
    return {
        "slot": None if member is None else member.slot,
        "address": as_text(about.get("address")),
        "started": as_text(about.get("started")),
        "version": as_text(about.get("version")),
        "since_revision": None if member is None else member.created,
        "lease": None if member is None else lease_id(member.lease),
        "state": said,
        "why_not": why_not,
        "me": False,
    }


def served(member: Member | None, status: int, headers: dict[str, str], body: bytes, seconds: float) -> dict[str, Any]:
    """What one instance answers to the read of a key. `headers` by their names in small letters."""
    return {
        **_address(member),
        "status": status,
        "source": headers.get("x-cache"),
        "revision": number_of(headers.get("x-config-revision")),
        "mod_revision": number_of(headers.get("etag", "").strip('"')),
        "age": number_of(headers.get("age")),
        "ms": round(seconds * 1000, 1),
        "value": body[:LONGEST].decode("utf-8", "replace"),
        "why_not": "",
    }


def not_served(heard: Heard) -> dict[str, Any]:
    """Why there is nothing of that instance."""
    nothing = dict.fromkeys(("status", "source", "revision", "mod_revision", "age", "ms", "value"))
    return {**_address(heard.member), **nothing, "why_not": heard.why_not}


def _address(member: Member | None) -> dict[str, Any]:
    if member is None:
        return {"slot": None, "address": ""}
    return {"slot": member.slot, "address": as_text(describe(member).get("address"))}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
