"""What befalls etcd: its members, who leads them, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from simulation.faults.kinds import Fault, Fleet, at_once, member, some_instance, switched
from simulation.plan import VISIBLE
from torture.schedule import Beat


def _write_outside(random: Random, fleet: Fleet) -> Sequence[Beat]:
    del fleet
    many = random.randrange(len(VISIBLE) + 1)
    return ((0, "write_outside", (many, random.randrange(len(VISIBLE) + 1 - many))),)


def _quorum_lost(random: Random, fleet: Fleet) -> Sequence[Beat]:
    harm, cure = random.choice((("pause_member", "resume_member"), ("kill_member", "restart_member")))
    whom, end = random.sample(range(fleet.members), fleet.members // 2 + 1), random.uniform(1, 6)
    return [beat for who in whom for beat in ((0.0, harm, (who,)), (end, cure, (who,)))]


def _isolated(random: Random, fleet: Fleet) -> Sequence[Beat]:
    return ((0, "isolate_member", (random.randrange(fleet.members),)), (random.uniform(1, 8), "heal_etcd", ()))


def _late_leases(random: Random, fleet: Fleet) -> Sequence[Beat]:
    del fleet
    return ((0, "leases_late", (random.uniform(1, 20),)), (random.uniform(5, 15), "leases_late", (0.0,)))


FAULTS: dict[str, Fault] = {
    "member paused": member("pause_member", "resume_member", 0.5, 10),
    "member killed": member("kill_member", "restart_member", 0.5, 5),
    "member isolated": _isolated,
    "quorum lost": _quorum_lost,
    "leader moved": at_once("move_leader"),
    "compaction": at_once("compact"),
    "outside writes": _write_outside,
    "version key deleted": at_once("delete_version"),
    "version key overwritten": at_once("overwrite_version"),
    "no space": switched("nospace", 0.5, 4),
    "tokens expired": at_once("expire_tokens"),
    "leases late": _late_leases,
    "lease revoked": some_instance("revoke_lease"),
    "member key deleted": some_instance("delete_member_key_of"),
}
"""By name."""
