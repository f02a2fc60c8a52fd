"""The watches of one stream at one member: which events it owes, and in which answers they go.

Owns what has been sent. Events of one watch come in order, those of a revision in one answer; between the watches of a
stream there is no order. A watch that begins in the past, or that is slow, catches up in one answer, whose header is
ahead of its last event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from etcd3.etcdrpc import kv_pb2  # type: ignore[import-untyped]

from simulation.etcd.mvcc import Kv, matching
from simulation.etcd.ranges import ALL

_DELETE = kv_pb2.Event.DELETE


@dataclass(slots=True)
class Watch:
    """One watch. `next`: the first revision that it has not been told of. late_until: it catches up then."""

    number: int
    first: bytes
    end: bytes | None
    next: int
    behind: bool
    prev_kv: bool = False

    @classmethod
    def of(cls, number: int, request: Any, revision: int) -> Watch:
        """As asked for, at a member that shows `revision`."""
        first, end = request.key or b"\x00", request.range_end
        upto = first + b"\x00" if not end else None if end == ALL else end
        start = request.start_revision or revision + 1
        return cls(number, first, upto, start, behind=start <= revision)


def events(changes: list[tuple[Kv, ...]], watch: Watch) -> list[Any]:
    """Those of the changes that this watch is about, as etcd's Events."""
    found = []
    for each in changes:
        for kv in matching(each, watch.first, watch.end):
            event = kv_pb2.Event()
            made = event.kv
            made.key, made.mod_revision = kv.key, kv.mod
            if kv.version:
                made.value, made.create_revision, made.version, made.lease = kv.value, kv.created, kv.version, kv.lease
            else:
                event.type = _DELETE
            found.append(event)
    return found


def created(number: int, header: Any) -> Any:
    """The answer that confirms a watch."""
    return pb.WatchResponse(header=header, watch_id=number, created=True)


def refused(header: Any, reason: str) -> Any:
    """The answer to who may not watch that."""
    return pb.WatchResponse(header=header, watch_id=-1, created=True, canceled=True, cancel_reason=reason)


def compacted(number: int, header: Any, revision: int) -> Any:
    """The answer that ends a watch of a past that is gone."""
    return pb.WatchResponse(header=header, watch_id=number, canceled=True, compact_revision=revision)


def canceled(number: int, header: Any) -> Any:
    """The answer that ends a watch as its client asked."""
    return pb.WatchResponse(header=header, watch_id=number, canceled=True)


def happened(number: int, header: Any, found: list[Any]) -> Any:
    """The answer that brings events."""
    return pb.WatchResponse(header=header, watch_id=number, events=found)
