"""How far back clients that were away can be told of changes (rule 18): as far as etcd remembers."""

from __future__ import annotations

from bisect import bisect_left

from consistency.core.store import Compacted, StoreError
from consistency.loop import run
from service.doctor.report import Finding, ok, wrong
from service.doctor.rights import Etcd

_ANY = "doctor"
"""A document, there or not: asked what it was in the past, etcd says whether it remembers that past."""


def changes(etcd: Etcd) -> Finding:
    """From which revision on. Found by halves: some twenty reads of an etcd of a million revisions."""
    try:
        now = run(etcd.store.survey(None, timeout=etcd.timeout)).header.revision
        oldest = bisect_left(range(now), True, key=lambda back: _remembers(etcd, back + 1)) + 1  # a key
    except StoreError as error:
        return wrong("changes", f"the past can't be read: {error}", "See the findings above.")
    if oldest == 1:
        return ok("changes", f"clients that were away are told of each change; etcd remembers all {now:,} revisions")
    return ok(
        "changes",
        f"clients that were away are told of each change since revision {oldest:,}, {now - oldest:,} revisions ago. "
        "What was before is compacted: who was away for longer is told the whole scope anew (reset)",
    )


def _remembers(etcd: Etcd, revision: int) -> bool:
    try:
        run(etcd.store.past(_ANY, revision, timeout=etcd.timeout))
    except Compacted:
        return False
    return True
