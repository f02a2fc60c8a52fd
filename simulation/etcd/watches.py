"""The watches of one stream at one member: which events it owes, and in which answers they go.

Owns what has been sent. Events of one watch come in order, those of a revision in one answer; between the watches of a
stream there is no order. A watch that begins in the past, or that is slow, catches up in one answer, whose header is
ahead of its last event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from etcd3.etcdrpc import kv_pb2  # type: ignore[import-untyped]

from simulation.etcd.calls import Stream
from simulation.etcd.errors import NO_LEADER
from simulation.etcd.mvcc import Kv, matching
from simulation.etcd.ranges import ALL

if TYPE_CHECKING:
    from simulation.etcd.cluster import Cluster
    from simulation.etcd.member import Member

SYNC = 0.1
"""Seconds between two times at which watches that are behind catch up."""

_DELETE = kv_pb2.Event.DELETE


@dataclass(slots=True)
class Watch:
    """One watch. next: the first revision that it has not been told of. behind: it catches up at the next SYNC.

    end: of its range; None: all keys from `first` on.
    """

    number: int
    first: bytes
    end: bytes | None
    next: int
    behind: bool
    prev_kv: bool = False

    @property
    def of_one_key(self) -> bool:
        """Whether it is of no more."""
        return self.end == self.first + b"\x00"

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


class WatchStream:
    """One Watch RPC at its member."""

    def __init__(self, member: Member, cluster: Cluster, stream: Stream) -> None:
        self._member = member
        self._cluster = cluster
        self._stream = stream
        self._watches: dict[int, Watch] = {}
        self._made = 0
        stream.received = self._received
        stream.closed = self._closed

    def tell(self) -> None:
        """The member has applied more: whatever is in step is told at once, in no order."""
        ready = [watch for watch in self._watches.values() if not watch.behind]
        if len(ready) > 1 and self._cluster.network.random.random() < 0.5:
            ready.reverse()
        slow, lost = self._cluster.slow_watches, self._cluster.lost_events
        for watch in ready:
            if lost and watch.of_one_key and self._cluster.network.random.random() < lost:
                watch.next = self._member.moment.revision + 1
            elif slow and self._cluster.network.random.random() < slow:
                self._fall_behind(watch)
            else:
                self._tell(watch)

    def leaderless(self) -> None:
        """The member has lost its leader: who demands one is sent away."""
        if self._stream.metadata.get("hasleader"):
            self._member.over(self._stream)
            self._stream.received = None
            self._stream.fail(NO_LEADER)

    def _received(self, request: Any) -> None:
        kind = request.WhichOneof("request_union")
        if kind == "create_request":
            self._create(request.create_request)
        elif kind == "cancel_request":
            number = request.cancel_request.watch_id
            if self._watches.pop(number, None) is not None:
                self._stream.answer(canceled(number, self._member.header()))
        else:
            raise NotImplementedError(kind)

    def _create(self, request: Any) -> None:
        if request.prev_kv or request.progress_notify or request.filters:
            raise NotImplementedError("a watch with options")
        member = self._member
        if not member.permits_watch(self._stream, request):
            self._stream.answer(refused(member.header(), ""))
            return
        watch = self._watches[self._made] = Watch.of(self._made, request, member.moment.revision)
        self._made += 1
        self._stream.answer(created(watch.number, member.header()))
        if watch.behind:
            self._fall_behind(watch)

    def _fall_behind(self, watch: Watch) -> None:
        watch.behind = True
        self._cluster.network.after(self._cluster.network.random.uniform(0.0, SYNC), self._catch_up, watch)

    def _catch_up(self, watch: Watch) -> None:
        if self._watches.get(watch.number) is not watch:
            return
        if not self._member.peer.able:
            self._cluster.network.after(SYNC, self._catch_up, watch)
            return
        watch.behind = False
        moment = self._member.moment
        if watch.next < moment.compacted:
            del self._watches[watch.number]
            self._stream.answer(compacted(watch.number, self._member.header(), moment.compacted))
        else:
            self._tell(watch, self._member.header())

    def _tell(self, watch: Watch, header: Any = None) -> None:
        revision = self._member.moment.revision
        if watch.next > revision:
            return
        found = events(self._cluster.machine.store.log(watch.next, revision), watch)
        watch.next = revision + 1
        if found:
            self._stream.answer(happened(watch.number, header or self._member.header(), found))

    def _closed(self) -> None:
        self._watches.clear()
        self._member.over(self._stream)
