"""One member of the cluster, as its clients meet it: which RPC is answered, from where, what is refused at the door.

Owns the order in which etcd looks at a request (leader, form, token, permission, space) and the streams that are open.
What entries do is `machine`'s, agreement is `raft`'s. A member answers from what it has applied itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from simulation.etcd.calls import Stream, Unary
from simulation.etcd.errors import NO_LEADER, TOO_MANY_REQUESTS, Refused, Status
from simulation.etcd.peers import Peer
from simulation.etcd.ranges import Moment
from simulation.etcd.requests import used
from simulation.etcd.rpcs import METHODS, keep_alive
from simulation.etcd.watches import WatchStream

if TYPE_CHECKING:
    from simulation.etcd.cluster import Cluster


class Member:
    """See the module's opening. `simulation.network.Server`."""

    def __init__(self, cluster: Cluster, peer: Peer) -> None:
        self.name = peer.name
        self.peer = peer
        self.number = cluster.ids[peer.index]
        self.cluster = cluster
        self.raft = cluster.raft
        self._streams: dict[int, WatchStream] = {}
        self._forgot = 0  # tokens up to that one: its last restart forgot them
        self._stale_until = -1.0  # for a release with that flaw: reads are answered as of before the pause
        self._before_pause: Moment | None = None
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
        if self._before_pause is not None and self.cluster.now() < self._stale_until:
            return self._before_pause
        return self.cluster.moment_of(self.peer)

    def header(self, revision: int | None = None) -> Any:
        """A ResponseHeader, as of now."""
        return pb.ResponseHeader(
            cluster_id=self.cluster.id,
            member_id=self.number,
            revision=self.moment.revision if revision is None else revision,
            raft_term=self.raft.term,
        )

    # --- RPCs

    def serve(self, call: Unary | Stream) -> None:
        """Take a call that has arrived. For the channels."""
        if isinstance(call, Unary) and call.given_up and self.cluster.network.random.random() < 0.5:
            return  # it came with its own cancellation, as when it lay before a process that stood still
        if call.metadata.get("hasleader") and not self.raft.knows_leader(self.peer):
            call.fail(NO_LEADER)
            return
        if self.cluster.on_call is not None and call.connection is not None:
            self.cluster.on_call(call.connection.client, call.method, getattr(call, "request", None))
        if isinstance(call, Stream):
            self._serve_stream(call)
            return
        try:
            METHODS[call.method](self, call)
        except Refused as refused:
            call.fail(refused.status)

    def _serve_stream(self, stream: Stream) -> None:
        if stream.method == "Watch":
            self._streams[id(stream)] = WatchStream(self, self.cluster, stream)
        elif stream.method == "LeaseKeepAlive":
            stream.received = lambda request: keep_alive(self, stream, request)
        else:
            raise NotImplementedError(stream.method)

    # --- how it is done

    def read(self, call: Unary, answer: Callable[[], None], *, serializable: bool) -> None:
        call.reads = True

        def guarded() -> None:
            try:
                answer()
            except Refused as refused:
                call.fail(refused.status)

        if serializable or self.cluster.now() < self._stale_until:
            guarded()
        else:
            self.raft.confirm(self.peer, guarded, call.fail)

    def write(self, call: Unary, entry: Callable[[], Any]) -> None:
        def guarded() -> Any:
            try:
                answer = entry()
            except Refused as refused:
                return refused.status
            self.head(answer, self.cluster.machine.store.revision)
            return answer

        def done(result: Any) -> None:
            if isinstance(result, Status):
                call.fail(result)
            else:
                call.answer(result)

        chance = self.cluster.too_busy
        if chance and self.cluster.network.random.random() < chance:
            call.fail(TOO_MANY_REQUESTS)
        else:
            self.raft.propose(self.peer, guarded, done, call.fail)

    def head(self, answer: Any, revision: int | None = None) -> None:
        header = answer.header
        header.cluster_id, header.member_id, header.raft_term = self.cluster.id, self.number, self.raft.term
        header.revision = self.moment.revision if revision is None else revision

    def user(self, call: Unary | Stream) -> Any:
        return self.cluster.machine.auth.user(call.metadata.get("token", ""), self._forgot)

    def permit(self, call: Unary, request: Any) -> None:
        user = self.user(call)
        if user is None:
            return
        for first, end, write in used(request):
            self.cluster.machine.auth.permit(user, first, end, write=write)

    # --- what befalls it

    def died(self) -> None:
        """Its process has ended."""
        self._streams.clear()
        self._forgot = self.cluster.machine.auth.given

    def resumed(self) -> None:
        """It goes on after a pause."""
        if self.cluster.flaws.stale_reads_after_pause:
            self._before_pause = self.cluster.moment_of(self.peer)
            self._stale_until = self.cluster.now() + self.cluster.flaws.stale_reads_after_pause

    def over(self, stream: Stream) -> None:
        """A stream is closed."""
        self._streams.pop(id(stream), None)

    def permits_watch(self, stream: Stream, request: Any) -> bool:
        """Whether its user may watch that."""
        try:
            self.cluster.machine.auth.permit(self.user(stream), request.key, request.range_end, write=False)
        except Refused:
            return False
        return True

    def _applied(self) -> None:
        for stream in list(self._streams.values()):
            stream.tell()

    def _leaderless(self) -> None:
        for stream in list(self._streams.values()):
            stream.leaderless()
