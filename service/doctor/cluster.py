"""What the members say together: one cluster, one leader, and room to write. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.etcd.probe import MemberStatus
from service.doctor.endpoints import Look
from service.doctor.report import Finding, ok, warning, wrong

FULL = 0.8
"""Share of the quota from which on it is time to act."""

DEFAULT_QUOTA = 2 * 1024**3
"""etcd's own, where it is not told."""

Alarms = Sequence[tuple[int, str]]


def identity(statuses: Sequence[MemberStatus]) -> Finding:
    """Whether all endpoints are of one cluster: each has a revision and a history of its own."""
    told = [status for status in statuses if status.cluster]
    ids = {status.cluster for status in told}
    if not ids:
        return ok("cluster", "etcd tells which it is to those alone who may read there")
    if len(ids) == 1:
        count = f"the {len(told)} endpoints that answer belong" if len(told) > 1 else "the endpoint belongs"
        return ok("cluster", f"{count} to cluster {ids.pop():x}")
    whose = ", ".join(f"{status.endpoint} to {status.cluster:x}" for status in told)
    return wrong(
        "cluster",
        f"the endpoints belong to different clusters: {whose}",
        "Name the endpoints of one cluster only: the service would take every change of endpoint for a restore.",
    )


def leadership(statuses: Sequence[MemberStatus]) -> Finding:
    """Whether there is a leader, and all follow the same one."""
    leaders = {status.leader for status in statuses if status.leader}
    lost = [status.endpoint for status in statuses if status.leader == 0]
    if not leaders and not lost:
        return ok("leader", "etcd tells root alone which member leads")
    if not leaders:
        return wrong(
            "leader",
            "no endpoint that answers knows a leader: most members are down or cut off from each other",
            "Bring back a majority of the members: see etcdctl member list, and the log of each.",
        )
    if lost:
        remedy = f"Look at the network between the members: {', '.join(lost)} is cut off from the others."
        return warning("leader", f"{', '.join(lost)} knows no leader, others do", remedy)
    if len(leaders) > 1:
        who = ", ".join(f"{leader:x}" for leader in sorted(leaders))
        return warning("leader", f"the endpoints follow different leaders: {who}", "Ask again: an election goes on.")
    return ok("leader", f"member {leaders.pop():x} leads")


def space(looks: Sequence[Look], alarms: Alarms, etcdctl: str) -> list[Finding]:
    """The alarms, and how full the fullest member is. `etcdctl`: how a command begins."""
    raised = {alarm for _, alarm in alarms}
    found = []
    if "CORRUPT" in raised:
        members = ", ".join(f"{member:x}" for member, alarm in alarms if alarm == "CORRUPT")
        found.append(wrong(
            "space", f"alarm CORRUPT: the data of member {members} differ from the others'",
            "Replace the corrupt member: etcdctl member remove and member add, with an empty data directory. Then\n"
            f"{etcdctl} alarm disarm",
        ))  # fmt: skip
    if "NOSPACE" in raised:
        said = f"alarm NOSPACE, {_fullness(looks)[1]}: etcd refuses every write"
        found.append(wrong("space", said, make_room(etcdctl)))
    return found or [_room(looks, etcdctl)]


def _room(looks: Sequence[Look], etcdctl: str) -> Finding:
    share, said = _fullness(looks)
    if share >= FULL:
        return warning("space", f"{said}: at 100 % etcd refuses every write", make_room(etcdctl))
    return ok("space", f"no alarm; {said}")


def quota(looks: Sequence[Look]) -> tuple[int, str]:
    """Bytes that the file of the member with the least room may grow to, and how that is called."""
    told = [bound for look in looks if look.status and (bound := look.status.quota_bytes or look.seen.quota_bytes)]
    which = "the quota" if told else "etcd's default quota (its own it does not tell)"
    return min(told, default=DEFAULT_QUOTA), which


def _fullness(looks: Sequence[Look]) -> tuple[float, str]:
    """Return the share of its quota that the fullest member takes, and how to say it."""
    return max(_fullness_of(look.status, look.seen.quota_bytes) for look in looks if look.status)


def _fullness_of(status: MemberStatus, seen: int | None) -> tuple[float, str]:
    if status.db_bytes is None or status.in_use_bytes is None:
        return 0.0, "etcd tells root alone how full it is"
    told = status.quota_bytes or seen
    most = told or DEFAULT_QUOTA
    which = "the quota" if told else "etcd's default quota (its own it does not tell)"
    share, used = status.db_bytes / most, f"{size(status.db_bytes)}, {size(status.in_use_bytes)} of it in use"
    return share, f"the file has {used}: {share:.0%} of {which} of {size(most)}"


def size(count: int) -> str:
    """As people say it."""
    return f"{count / 1e6:,.0f} MB" if count >= 10e6 else f"{count / 1e3:,.0f} kB"


def make_room(etcdctl: str) -> str:
    """How to make room, step by step."""
    return (
        "Make room in etcd, or raise its --quota-backend-bytes; with --auto-compaction-retention=1h it stays so:\n"
        f"revision=$({etcdctl} get x --write-out=json | grep -o '\"revision\":[0-9]*' | cut -d: -f2)\n"
        f"{etcdctl} compact --physical $revision\n"
        f"{etcdctl} defrag\n"
        f"{etcdctl} alarm disarm"
    )
