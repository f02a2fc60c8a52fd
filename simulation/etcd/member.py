"""One member of the cluster, as its clients meet it: which RPC is answered, from where, what is refused at the door.

Owns the order in which etcd looks at a request (leader, form, token, permission, space) and the streams that are open.
What entries do is `machine`'s, agreement is `raft`'s. A member answers from what it has applied itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from simulation.etcd import watches
from simulation.etcd.channel import Stream, Unary
from simulation.etcd.errors import (
    EMPTY_KEY,
    NO_LEADER,
    NO_SPACE,
    Refused,
    Status,
)
from simulation.etcd.machine import check_range, check_size, check_txn, only_reads, used
from simulation.etcd.raft import Peer
from simulation.etcd.ranges import Moment
from simulation.etcd.watches import Watch

if TYPE_CHECKING:
    from simulation.etcd.cluster import Cluster

SYNC = 0.1
"""Seconds between two times at which watches that are behind catch up."""


class Member:
    """See the module's opening. `simulation.network.Server`."""

    def __init__(self, cluster: Cluster, peer: Peer) -> None:
        self.name = peer.name
        self.peer = peer
        self.number = cluster.ids[peer.index]
        self._cluster = cluster
        self._raft = cluster.raft
        self._streams: dict[int, WatchStream] = {}
        self._forgot = 0  # tokens up to that one: its last restart forgot them
        self._stale_until = -1.0  # for a release with that flaw: reads are answered as of before the pause
        peer.on_applied = self._applied
        peer.on_leaderless = self._leaderless

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.peer.running

    @property
    def paused(self) -> bool:
        """Whether its process stands still."""
        return self.peer.paused

    @property
    def moment(self) -> Moment:
        """What it shows."""
        return self._cluster.moment_of(self.peer)

    def header(self, revision: int | None = None) -> Any:
        """A ResponseHeader, as of now."""
        return pb.ResponseHeader(
            cluster_id=self._cluster.id,
            member_id=self.number,
            revision=self.moment.revision if revision is None else revision,
            raft_term=self._raft.term,
        )

    # --- RPCs

    def serve(self, call: Unary | Stream) -> None:
        """Take a call that has arrived. For the channels."""
        if isinstance(call, Unary) and call.given_up and self._cluster.network.random.random() < 0.5:
            return  # it came with its own cancellation, as when it lay before a process that stood still
        if call.metadata.get("hasleader") and not self._raft.knows_leader(self.peer):
            call.fail(NO_LEADER)
            return
        if isinstance(call, Stream):
            self._serve_stream(call)
            return
        try:
            _METHODS[call.method](self, call)
        except Refused as refused:
            call.fail(refused.status)

    def _serve_stream(self, stream: Stream) -> None:
        if stream.method == "Watch":
            self._streams[id(stream)] = WatchStream(self, self._cluster, stream)
        elif stream.method == "LeaseKeepAlive":
            stream.received = lambda request: self._keep_alive(stream, request)
        else:
            raise NotImplementedError(stream.method)

    def _range(self, call: Unary) -> None:
        request = call.request
        check_range(request)

        def answer() -> None:
            user = self._user(call)
            self._cluster.machine.auth.permit(user, request.key, request.range_end, write=False)
            found = self._cluster.machine.range(request, self.moment)
            self._head(found)
            call.answer(found)

        self._read(call, answer, serializable=request.serializable)

    def _txn(self, call: Unary) -> None:
        request = call.request
        check_txn(request)
        reads = only_reads(request)
        if self._cluster.over_quota and not (reads and self._cluster.flaws.over_quota_reads):
            raise Refused(NO_SPACE)
        if not reads:
            check_size(request)
            self._permit(call, request)
            self._write(call, lambda: self._cluster.machine.txn(request))
            return

        def answer() -> None:
            self._permit(call, request)
            found = self._cluster.machine.read(request, self.moment)
            self._head(found)
            call.answer(found)

        operations = [*request.success, *request.failure]
        self._read(call, answer, serializable=all(each.request_range.serializable for each in operations))

    def _put(self, call: Unary) -> None:
        request = call.request
        if not request.key:
            raise Refused(EMPTY_KEY)
        check_size(request)
        self._permit(call, pb.TxnRequest(success=[pb.RequestOp(request_put=request)]))
        self._write(call, lambda: self._cluster.machine.put(request))

    def _delete(self, call: Unary) -> None:
        request = call.request
        if not request.key:
            raise Refused(EMPTY_KEY)
        self._permit(call, pb.TxnRequest(success=[pb.RequestOp(request_delete_range=request)]))
        self._write(call, lambda: self._cluster.machine.delete(request))

    def _compact(self, call: Unary) -> None:
        revision = call.request.revision

        def entry() -> Any:
            self._cluster.machine.compact(revision, self._cluster.readable())
            return pb.CompactionResponse()

        self._write(call, entry)

    def _grant(self, call: Unary) -> None:
        request = call.request
        self._user(call)

        def entry() -> Any:
            lease, ttl = self._cluster.machine.grant(request.TTL, request.ID, self._cluster.now())
            self._cluster.granted_lease(lease, ttl)
            return pb.LeaseGrantResponse(ID=lease, TTL=ttl)

        self._write(call, entry)

    def _revoke(self, call: Unary) -> None:
        lease = call.request.ID
        self._user(call)

        def entry() -> Any:
            self._cluster.machine.revoke(lease)
            return pb.LeaseRevokeResponse()

        self._write(call, entry)

    def _time_to_live(self, call: Unary) -> None:
        request = call.request
        self._user(call)

        def answer() -> None:
            found = self._cluster.machine.leases.get(request.ID)
            answer = pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
            if found is not None:
                answer.TTL = max(0, int(found.expires - self._cluster.now()))
                answer.grantedTTL = found.ttl
                if request.keys:
                    answer.keys.extend(sorted(self._cluster.machine.store.leases[request.ID]))
            self._head(answer)
            call.answer(answer)

        self._read(call, answer, serializable=False)

    def _keep_alive(self, stream: Stream, request: Any) -> None:
        """Answered by the leader, from its own clock; one that has expired is over only once it is revoked."""
        cluster, lease = self._cluster, request.ID

        def answer() -> None:
            found = cluster.machine.leases.get(lease)
            if found is not None and found.expires <= cluster.now():
                cluster.network.after(SYNC, again)
                return
            ttl = 0
            if found is not None:
                found.expires = cluster.now() + found.ttl
                ttl = found.ttl
            elif cluster.flaws.renews_dead_leases:
                ttl = cluster.granted.get(lease, 0)
            stream.answer(pb.LeaseKeepAliveResponse(header=self.header(), ID=lease, TTL=ttl))

        def again() -> None:
            self._raft.confirm(self.peer, answer, stream.fail)

        again()

    def _status(self, call: Unary) -> None:
        leader = self._raft.leader if self._raft.knows_leader(self.peer) else None
        call.answer(
            pb.StatusResponse(
                header=self.header(),
                version=self._cluster.version,
                dbSize=1 << 20,
                leader=self._cluster.ids[leader.index] if leader else 0,
                raftIndex=self.peer.applied,
                raftTerm=self._raft.term,
            )
        )

    def _member_list(self, call: Unary) -> None:
        answer = pb.MemberListResponse(header=self.header())
        for member in self._cluster.members:
            answer.members.add(ID=member.number, name=member.name, clientURLs=[f"http://{member.name}:2379"])
        call.answer(answer)

    def _alarm(self, call: Unary) -> None:
        if call.request.action != pb.AlarmRequest.GET:
            raise NotImplementedError("an alarm is raised and disarmed by `Cluster.nospace`")
        answer = pb.AlarmResponse(header=self.header())
        if self._cluster.machine.no_space:
            answer.alarms.add(memberID=self.number, alarm=pb.NOSPACE)
        call.answer(answer)

    def _authenticate(self, call: Unary) -> None:
        request = call.request

        def entry() -> Any:
            return pb.AuthenticateResponse(
                token=self._cluster.machine.auth.authenticate(request.name, request.password)
            )

        self._write(call, entry)

    # --- how it is done

    def _read(self, call: Unary, answer: Callable[[], None], *, serializable: bool) -> None:
        def guarded() -> None:
            try:
                answer()
            except Refused as refused:
                call.fail(refused.status)

        if serializable or self._cluster.now() < self._stale_until:
            guarded()
        else:
            self._raft.confirm(self.peer, guarded, call.fail)

    def _write(self, call: Unary, entry: Callable[[], Any]) -> None:
        def guarded() -> Any:
            try:
                answer = entry()
            except Refused as refused:
                return refused.status
            self._head(answer, self._cluster.machine.store.revision)
            return answer

        def done(result: Any) -> None:
            if isinstance(result, Status):
                call.fail(result)
            else:
                call.answer(result)

        self._raft.propose(self.peer, guarded, done, call.fail)

    def _head(self, answer: Any, revision: int | None = None) -> None:
        header = answer.header
        header.cluster_id, header.member_id, header.raft_term = self._cluster.id, self.number, self._raft.term
        header.revision = self.moment.revision if revision is None else revision

    def _user(self, call: Unary | Stream) -> Any:
        return self._cluster.machine.auth.user(call.metadata.get("token", ""), self._forgot)

    def _permit(self, call: Unary, request: Any) -> None:
        user = self._user(call)
        if user is None:
            return
        for first, end, write in used(request):
            self._cluster.machine.auth.permit(user, first, end, write=write)

    # --- what befalls it

    def died(self) -> None:
        """Its process has ended."""
        self._streams.clear()
        self._forgot = self._cluster.machine.auth.given

    def resumed(self) -> None:
        """It goes on after a pause."""
        if self._cluster.flaws.stale_reads_after_pause:
            self._stale_until = self._cluster.now() + self._cluster.flaws.stale_reads_after_pause

    def over(self, stream: Stream) -> None:
        """A stream is closed."""
        self._streams.pop(id(stream), None)

    def permits_watch(self, stream: Stream, request: Any) -> bool:
        """Whether its user may watch that."""
        try:
            self._cluster.machine.auth.permit(self._user(stream), request.key, request.range_end, write=False)
        except Refused:
            return False
        return True

    def _applied(self) -> None:
        for stream in list(self._streams.values()):
            stream.tell()

    def _leaderless(self) -> None:
        for stream in list(self._streams.values()):
            stream.leaderless()


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
        slow = self._cluster.slow_watches
        for watch in ready:
            if slow and self._cluster.network.random.random() < slow:
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
                self._stream.answer(watches.canceled(number, self._member.header()))
        else:
            raise NotImplementedError(kind)

    def _create(self, request: Any) -> None:
        if request.prev_kv or request.progress_notify or request.filters:
            raise NotImplementedError("a watch with options")
        member = self._member
        if not member.permits_watch(self._stream, request):
            self._stream.answer(watches.refused(member.header(), ""))
            return
        watch = self._watches[self._made] = Watch.of(self._made, request, member.moment.revision)
        self._made += 1
        self._stream.answer(watches.created(watch.number, member.header()))
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
        gone = max(moment.compacted, self._cluster.machine.store.kept if moment.compacted else 0)
        if watch.next < gone:
            del self._watches[watch.number]
            self._stream.answer(watches.compacted(watch.number, self._member.header(), gone))
        else:
            self._tell(watch, self._member.header())

    def _tell(self, watch: Watch, header: Any = None) -> None:
        revision = self._member.moment.revision
        if watch.next > revision:
            return
        found = watches.events(self._cluster.machine.store.log(watch.next, revision), watch)
        watch.next = revision + 1
        if found:
            self._stream.answer(watches.happened(watch.number, header or self._member.header(), found))

    def _closed(self) -> None:
        self._watches.clear()
        self._member.over(self._stream)


_METHODS: dict[str, Callable[[Member, Unary], None]] = {
    "Range": Member._range,
    "Txn": Member._txn,
    "Put": Member._put,
    "DeleteRange": Member._delete,
    "Compact": Member._compact,
    "LeaseGrant": Member._grant,
    "LeaseRevoke": Member._revoke,
    "LeaseTimeToLive": Member._time_to_live,
    "Status": Member._status,
    "MemberList": Member._member_list,
    "Alarm": Member._alarm,
    "Authenticate": Member._authenticate,
}
