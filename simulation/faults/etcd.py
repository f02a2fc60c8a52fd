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


def _recreate_outside(random: Random, fleet: Fleet) -> Sequence[Beat]:
    del fleet
    return ((0, "recreate_outside", (random.randrange(1, len(VISIBLE) + 1),)),)


def _policy_overwritten(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """By hand, and by hand it is made good again."""
    del fleet
    return ((0, "overwrite_policy", ()), (random.uniform(0.3, 2), "mend_policy", (random.random() < 0.5,)))


def _over_quota(random: Random, fleet: Fleet) -> Sequence[Beat]:
    del fleet
    return ((0, "nospace", (True, True)), (random.uniform(0.5, 4), "nospace", (False,)))


def _chance(action: str, chance: float) -> Fault:
    """For some seconds it happens now and then."""

    def fault(random: Random, fleet: Fleet) -> Sequence[Beat]:
        del fleet
        return ((0, action, (random.uniform(0.05, chance),)), (random.uniform(1, 6), action, (0.0,)))

    return fault


def _slots_held(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """There are not enough for everybody, and who has one loses it."""
    whom = random.sample(range(fleet.instances), random.randrange(1, fleet.instances))
    return (
        (0, "hold_slots", (0,)),
        *((random.uniform(0.1, 2), "revoke_lease", (who,)) for who in whom),
        *((0.05, "kill_instance", (who,)) for who in whom[:1]),
        *((random.uniform(0.1, 2), "start_instance", (who,)) for who in whom[:1]),
        (2.0, "hold_slots", (0,)),
        (random.uniform(2.5, 12), "release_slots", ()),
    )


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
    "policy overwritten": _policy_overwritten,
    "documents recreated outside": _recreate_outside,
    "over quota": _over_quota,
    "too busy": _chance("too_busy", 0.5),
    "events lost": _chance("lose_events", 0.9),
    "slots held": _slots_held,
    "no space": switched("nospace", 0.5, 4),
    "tokens expired": at_once("expire_tokens"),
    "leases late": _late_leases,
    "member key put by hand": at_once("usurp_lowest_slot"),
    "acknowledgements put by hand": at_once("make_up_acks"),
    "lease revoked": some_instance("revoke_lease"),
    "member key deleted": some_instance("delete_member_key_of"),
}
"""By name."""
