"""What a member does with each RPC: what is asked at the door, and whether the log has to be asked.

Owns the order of etcd's refusals. METHODS has the plain ones by their names; `keep_alive` answers on a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from simulation.etcd.calls import Stream, Unary
from simulation.etcd.errors import EMPTY_KEY, NO_SPACE, Refused
from simulation.etcd.requests import check_range, check_size, check_txn, only_reads
from simulation.etcd.watches import SYNC

if TYPE_CHECKING:
    from simulation.etcd.member import Member


def _range(member: Member, call: Unary) -> None:
    request = call.request
    check_range(request)

    def answer() -> None:
        user = member.user(call)
        member.cluster.machine.auth.permit(user, request.key, request.range_end, write=False)
        found = member.cluster.machine.range(request, member.moment)
        member.head(found)
        call.answer(found)

    member.read(call, answer, serializable=request.serializable)


def _txn(member: Member, call: Unary) -> None:
    request = call.request
    check_txn(request)
    reads = only_reads(request)
    if member.cluster.over_quota and not (reads and member.cluster.flaws.over_quota_reads):
        raise Refused(NO_SPACE)
    if not reads:
        check_size(request)
        member.permit(call, request)
        member.write(call, lambda: member.cluster.machine.txn(request))
        return

    def answer() -> None:
        member.permit(call, request)
        found = member.cluster.machine.read(request, member.moment)
        member.head(found)
        call.answer(found)

    operations = [*request.success, *request.failure]
    member.read(call, answer, serializable=all(each.request_range.serializable for each in operations))


def _put(member: Member, call: Unary) -> None:
    request = call.request
    if not request.key:
        raise Refused(EMPTY_KEY)
    check_size(request)
    member.permit(call, pb.TxnRequest(success=[pb.RequestOp(request_put=request)]))
    member.write(call, lambda: member.cluster.machine.put(request))


def _delete(member: Member, call: Unary) -> None:
    request = call.request
    if not request.key:
        raise Refused(EMPTY_KEY)
    member.permit(call, pb.TxnRequest(success=[pb.RequestOp(request_delete_range=request)]))
    member.write(call, lambda: member.cluster.machine.delete(request))


def _compact(member: Member, call: Unary) -> None:
    revision = call.request.revision

    def entry() -> Any:
        member.cluster.machine.compact(revision, member.cluster.forgotten())
        return pb.CompactionResponse()

    member.write(call, entry)


def _grant(member: Member, call: Unary) -> None:
    request = call.request
    member.user(call)

    def entry() -> Any:
        lease, ttl = member.cluster.machine.grant(request.TTL, request.ID, member.cluster.now())
        member.cluster.granted_lease(lease, ttl)
        return pb.LeaseGrantResponse(ID=lease, TTL=ttl)

    member.write(call, entry)


def _revoke(member: Member, call: Unary) -> None:
    lease = call.request.ID
    member.user(call)

    def entry() -> Any:
        member.cluster.machine.revoke(lease)
        return pb.LeaseRevokeResponse()

    member.write(call, entry)


def _time_to_live(member: Member, call: Unary) -> None:
    request = call.request
    member.user(call)

    def answer() -> None:
        found = member.cluster.machine.leases.get(request.ID)
        answer = pb.LeaseTimeToLiveResponse(ID=request.ID, TTL=-1)
        if found is not None:
            answer.TTL = max(0, int(found.expires - member.cluster.now()))
            answer.grantedTTL = found.ttl
            if request.keys:
                answer.keys.extend(sorted(member.cluster.machine.store.leases[request.ID]))
        member.head(answer)
        call.answer(answer)

    member.read(call, answer, serializable=False)


def keep_alive(member: Member, stream: Stream, request: Any) -> None:
    """Answered by the leader, from its own clock; one that has expired is over only once it is revoked."""
    cluster, lease = member.cluster, request.ID

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
        stream.answer(pb.LeaseKeepAliveResponse(header=member.header(), ID=lease, TTL=ttl))

    def again() -> None:
        member.raft.confirm(member.peer, answer, stream.fail)

    again()


def _status(member: Member, call: Unary) -> None:
    leader = member.raft.leader if member.raft.knows_leader(member.peer) else None
    call.answer(
        pb.StatusResponse(
            header=member.header(),
            version=member.cluster.version,
            dbSize=1 << 20,
            leader=member.cluster.ids[leader.index] if leader else 0,
            raftIndex=member.peer.applied,
            raftTerm=member.raft.term,
        )
    )


def _member_list(member: Member, call: Unary) -> None:
    answer = pb.MemberListResponse(header=member.header())
    for each in member.cluster.members:
        answer.members.add(ID=each.number, name=each.name, clientURLs=[f"http://{each.name}:2379"])
    call.answer(answer)


def _alarm(member: Member, call: Unary) -> None:
    if call.request.action != pb.AlarmRequest.GET:
        raise NotImplementedError("an alarm is raised and disarmed by `Cluster.nospace`")
    answer = pb.AlarmResponse(header=member.header())
    if member.cluster.machine.no_space:
        answer.alarms.add(memberID=member.number, alarm=pb.NOSPACE)
    call.answer(answer)


def _authenticate(member: Member, call: Unary) -> None:
    request = call.request

    def entry() -> Any:
        return pb.AuthenticateResponse(token=member.cluster.machine.auth.authenticate(request.name, request.password))

    member.write(call, entry)


METHODS: dict[str, Callable[[Member, Unary], None]] = {
    "Range": _range,
    "Txn": _txn,
    "Put": _put,
    "DeleteRange": _delete,
    "Compact": _compact,
    "LeaseGrant": _grant,
    "LeaseRevoke": _revoke,
    "LeaseTimeToLive": _time_to_live,
    "Status": _status,
    "MemberList": _member_list,
    "Alarm": _alarm,
    "Authenticate": _authenticate,
}
