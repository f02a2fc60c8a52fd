"""The fleet, for people and for Prometheus. Pure: turns member keys into JSON.

A description is what an instance wrote about itself: `address` ("host:port"), `guid`, `pid`, `started`. Whatever is
missing or is not what it should be is left out, since an older or a newer release may have written it.
"""

from __future__ import annotations

from typing import Any

from consistency.core.model import SLOTS, Departure, Member, Status
from consistency.core.store import Unavailable
from service.fleet.addresses import HTTPS, is_address
from service.fleet.foreign import read_object


def fleet(status: Status) -> dict[str, Any]:
    """Every member, who waits for a slot, and which of them answers. `slots` is how many there may be."""
    members, waiting = (
        [_member(each, each == status.me) for each in those] for those in (status.members, status.waiting)
    )
    return {"slots": SLOTS, "me": status.slot, "members": members, "waiting": waiting}


def _member(member: Member, me: bool) -> dict[str, Any]:
    description = describe(member)
    return {
        "slot": member.slot,
        "me": me,
        "since_revision": member.created,
        "lease": lease_id(member.lease),
        "description": description,
    }


def lease_id(lease: int) -> str:
    """As etcdctl shows it, whose leases may be negative."""
    return f"{lease % 2**64:x}"


def targets(status: Status) -> list[dict[str, Any]]:
    """Prometheus' HTTP service discovery: members, and who waits for a slot.

    Those that don't tell their address can't be scraped and are left out. One target for each address: who was killed
    and started again may hold its old slot beside the new one until the lease of the old one ends, and would be counted
    twice. Raises Unavailable when no member is known: not before etcd has told of one, and Prometheus keeps the targets
    it has, whereas an empty list would take them away.
    """
    if not status.present:
        raise Unavailable("this instance has heard of no member: etcd has not told of any, or nobody has a slot now")
    described = [(member, describe(member)) for member in sorted(status.present, key=lambda member: member.created)]
    newest = {about["address"]: (member, about) for member, about in described if is_address(about.get("address"))}
    return [_target(member, about) for member, about in sorted(newest.values(), key=lambda each: by_slot(each[0].slot))]


def by_slot(slot: int | None) -> int:
    """Where it comes in a list: who waits for a slot comes last."""
    return SLOTS if slot is None else slot


def _target(member: Member, about: dict[str, Any]) -> dict[str, Any]:
    labels = {} if member.slot is None else {"slot": f"{member.slot:02}"}
    if about.get("scheme") == HTTPS:
        labels["__scheme__"] = HTTPS
    if isinstance(about.get("guid"), str):
        labels["guid"] = about["guid"]
    # Labels with __meta_ are for relabelling and are dropped after it: a pid would make a new series at each start.
    labels |= {f"__meta_config_{name}": str(about[name]) for name in ("pid", "started") if name in about}
    return {"targets": [about["address"]], "labels": labels}


def describe(member: Member | Departure) -> dict[str, Any]:
    """What an instance says, or said, of itself; nothing if that is unreadable."""
    return read_object(member.description) or {}
