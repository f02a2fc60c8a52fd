"""The records of changes that writes leave in etcd (rule 19): how many are kept, and what of the quota they take."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.core.model import Kept
from consistency.core.store import StoreError
from consistency.etcd.probe import Weight
from consistency.loop import run
from service.doctor.cluster import make_room, quota, size
from service.doctor.endpoints import Look
from service.doctor.report import Finding, ok, warning, wrong
from service.doctor.rights import Etcd

LARGE = 0.25
"""Share of the quota from which on history is to be thought about: it grows with each key, up to `keep` documents."""

LOOKED_AT = 32 * 1024 * 1024
"""Bytes of records that are read at most; the rest is estimated by them."""


def history(etcd: Etcd, looks: Sequence[Look]) -> Finding:
    """What is kept of each key, what that takes, and how to make it less where it takes much."""
    try:
        kept = run(etcd.store.policy(timeout=etcd.timeout)).policy.history
        weight = run(etcd.probe.weigh_past(LOOKED_AT, etcd.timeout))
    except StoreError as error:
        return wrong("history", f"its records can't be read: {error}", "See the findings above.")
    most, which = quota(looks)
    return judged(kept, weight, most, which, etcd.etcdctl)


def judged(kept: Kept, weight: Weight, most: int, which: str, etcdctl: str) -> Finding:
    """What is said of such a history beside a quota. `etcdctl`: how a command begins."""
    share = weight.bytes / most
    taken = ("" if weight.whole else "about ") + size(weight.bytes)
    taken = f"{weight.keys:,} records and notes take {taken}, {share:.0%} of {which} of {size(most)}"
    if not kept.keep:
        left = f"; the member in the lowest slot removes what is left: {taken}" if weight.keys else ""
        return ok("history", f"the policy keeps none{left}")
    said = f"the last {kept.keep} changes of each key are kept, with documents up to {kept.max_bytes:,} bytes: {taken}"
    if share < LARGE:
        return ok("history", said)
    return warning("history", f"{said}; it grows until each key has as many", _less(kept, etcdctl))


def _less(kept: Kept, etcdctl: str) -> str:
    return (
        f"Lower history.keep ({kept.keep}) in the policy: what is surplus is removed within minutes. Or lower "
        f"history.max_bytes ({kept.max_bytes:,}),\nwhich counts for the writes to come; 0 for keep ends history:\n"
        f"configctl policy edit\n{make_room(etcdctl)}"
    )
