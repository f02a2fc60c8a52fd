"""Etcd and the network as a run has them: a simulated cluster, and what a plan's steps may do to it.

Owns the catalogue of these faults. `World` does those that befall an instance's own process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from consistency.core.model import Revision
from consistency.core.store import Store
from consistency.etcd.layout import Layout
from consistency.etcd.store import EtcdStore
from simulation import plan as plans
from simulation.etcd.cluster import Cluster, Snapshot
from simulation.instance import Clock
from simulation.loop import Loop
from simulation.network import Way
from simulation.plan import VISIBLE, Fault, Fleet, Plan, Weather
from torture.schedule import Beat
from torture.truth import Change

PREFIX = "simulated"
USER, PASSWORD = "service", "secret"


class SimulatedEtcd:
    """See the module's opening. Made on the loop."""

    def __init__(self, plan: Plan, loop: Loop, random: Random) -> None:
        self.cluster = Cluster(random, plan.members)
        self._loop = loop
        self._secured = plan.secured
        self._layout = Layout(PREFIX)
        self._network = self.cluster.network
        self._weather = plan.weather
        self._saved: Snapshot | None = None
        self._restored: Restored | None = None
        self._outside = 0
        if plan.secured:
            self.cluster.enable_auth(USER, PASSWORD, f"{PREFIX}/")

    # --- for the world: see Surroundings

    def connect(self, number: int, clock: Clock) -> Store:
        """See Surroundings."""
        user = (USER, PASSWORD) if self._secured else (None, None)
        return EtcdStore(self.cluster.config(PREFIX, *user), connect=self.cluster.connect(_name(number)), clock=clock)

    def lost(self, number: int) -> None:
        """See Surroundings."""
        self._network.vanish(_name(number))

    def begin(self) -> None:
        """See Surroundings."""
        self._expose(self._weather)

    def _expose(self, weather: Weather) -> None:
        self._network.latency = weather.latency
        self._network.lost_before = weather.lost_before
        self._network.lost_after = weather.lost_after
        self.cluster.slow_watches = weather.slow_watches

    def heal(self) -> None:
        """See Surroundings."""
        self._expose(Weather())
        self.cluster.nospace(False)
        self.cluster.leases_late(0.0)
        self.cluster.heal()

    @property
    def restored(self) -> Restored | None:
        """See Surroundings."""
        return self._restored

    def changes(self, timeline: int) -> Iterator[Change]:
        """See Surroundings."""
        prefix = f"{PREFIX}/".encode()
        for committed in self.cluster.history:
            kept = self._restored is not None and committed.revision <= self._restored.revision
            if committed.timeline != timeline and not (committed.timeline < timeline and kept):
                continue
            for kv in committed.changes:
                if kv.key.startswith(prefix):
                    value = kv.value.decode() if kv.version else None
                    key = kv.key.removeprefix(prefix).decode()
                    yield Change(committed.revision, key, value, kv.version, committed.at)

    def revoke(self, lease: int) -> None:
        """The lease of a living instance ends."""
        self.cluster.revoke(lease)

    def delete_member_key(self, slot: int) -> None:
        """Somebody deletes a member key by hand."""
        self.cluster.delete_member_key(self._layout, slot)

    # --- what a plan may ask for

    def pause_member(self, number: int) -> None:
        """It hangs: its connections stay open."""
        self.cluster.pause(number)

    def resume_member(self, number: int) -> None:
        """It goes on."""
        self.cluster.resume(number)

    def kill_member(self, number: int) -> None:
        """It dies."""
        self.cluster.kill(number)

    def restart_member(self, number: int) -> None:
        """It is started again."""
        self.cluster.restart(number)

    def isolate_member(self, number: int) -> None:
        """The others don't hear it, nor it them; clients reach it."""
        self.cluster.partition([number], [other for other in range(len(self.cluster.members)) if other != number])

    def heal_etcd(self) -> None:
        """All members run and hear each other."""
        self.cluster.heal()

    def move_leader(self) -> None:
        """Another member leads."""
        self.cluster.move_leader()

    def compact(self) -> None:
        """etcd forgets all that was before now."""
        self.cluster.compact(self._revision())

    def write_outside(self, many: int, deletes: int) -> None:
        """Somebody writes documents past the service, and deletes some."""
        keys = [self._layout.document(key) for key in VISIBLE]
        self._outside += 1
        puts = {key: f'"outside {self._outside}"'.encode() for key in keys[:many]}
        self.cluster.write_outside(puts, keys[many : many + deletes])

    def delete_version(self) -> None:
        """Somebody deletes the version key."""
        self.cluster.write_outside({}, [self._layout.version])

    def overwrite_version(self) -> None:
        """Somebody puts nonsense under the version key."""
        self._outside += 1
        self.cluster.write_outside({self._layout.version: f"nonsense {self._outside}".encode()})

    def save(self) -> None:
        """Somebody makes a backup."""
        self._saved = self._saved or self.cluster.snapshot()

    def restore(self, overtake: bool) -> None:
        """The backup is restored, once in a run. overtake: the revisions that are lost are given to other writes."""
        if self._saved is not None and self._restored is None:
            self._restored = Restored(self._loop.now, self._saved.revision)
            self.cluster.restore(self._saved, overtake=overtake)

    def nospace(self, on: bool) -> None:
        """The quota is used up, or isn't any more."""
        self.cluster.nospace(on)

    def expire_tokens(self) -> None:
        """All tokens end now."""
        self.cluster.expire_tokens()

    def leases_late(self, seconds: float) -> None:
        """From now on leases end so much later."""
        self.cluster.leases_late(seconds)

    def cut_off(self, who: int, way: str = "") -> None:
        """Nothing passes between an instance and etcd (way: from here on in one direction), and nobody is told."""
        self._network.isolate(_name(who), None, Way(way) if way else None)

    def cut_off_from(self, who: int, number: int) -> None:
        """Nothing passes between an instance and one member."""
        if number < len(self.cluster.members):
            self._network.isolate(_name(who), self.cluster.members[number].name)

    def stall_streams(self, who: int) -> None:
        """Its watch stays open, and brings nothing more."""
        self._network.stall(_name(who))

    def half_open(self, who: int) -> None:
        """Etcd forgets its streams; it is not told."""
        self._network.half_open(_name(who))

    def reset(self, who: int, streams_only: bool) -> None:
        """Its connections break."""
        self._network.reset(_name(who), streams_only=streams_only)

    def heal_instance(self, who: int) -> None:
        """The way between it and etcd is whole."""
        self._network.heal(_name(who))

    def _revision(self) -> Revision:
        return self.cluster.machine.store.revision


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup was restored `at` so many virtual seconds; it ends with `revision`."""

    at: float
    revision: Revision


def _name(number: int) -> str:
    return f"i-{number}"


# --- the faults


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


def _one_member_away(random: Random, fleet: Fleet) -> Sequence[Beat]:
    who, number = random.randrange(fleet.instances), random.randrange(fleet.members)
    return ((0, "cut_off_from", (who, number)), (random.uniform(1, 8), "heal_instance", (who,)))


def _cut_off_and_compacted(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its stream ends, and before it is back its horizon is forgotten."""
    who = random.randrange(fleet.instances)
    return (
        (0, "cut_off", (who,)),
        (0.01, "reset", (who, False)),
        (random.uniform(0.1, 2), "compact", ()),
        (random.uniform(2, 4), "heal_instance", (who,)),
    )


def _killed_while_writing(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its writes reach etcd, the answers don't, and then there is nobody to receive them."""
    who = random.randrange(fleet.instances)
    return (
        (0, "cut_off", (who, Way.TO_CLIENT.value)),
        (random.uniform(0.05, 0.4), "kill_instance", (who,)),
        (0.5, "heal_instance", (who,)),
        (random.uniform(0.6, 3), "start_instance", (who,)),
    )


def _resets(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Its connections break, some times in a row."""
    who = random.randrange(fleet.instances)
    return [(random.uniform(0, 2), "reset", (who, random.random() < 0.5)) for _ in range(random.randrange(1, 6))]


def _restored(random: Random, fleet: Fleet) -> Sequence[Beat]:
    """Some instances meet the other history late: they are cut off while it happens."""
    lost, away = random.uniform(0.3, 6), random.sample(range(fleet.instances), random.randrange(fleet.instances))
    return (
        (0, "save", ()),
        *((lost - 0.1, "cut_off", (who,)) for who in away),
        (lost, "restore", (random.random() < 0.5,)),
        *((lost + random.uniform(0.1, 5), "heal_instance", (who,)) for who in away),
    )


FAULTS: dict[str, Fault] = {
    **plans.FAULTS,
    "member paused": plans.member("pause_member", "resume_member", 0.5, 10),
    "member killed": plans.member("kill_member", "restart_member", 0.5, 5),
    "member isolated": _isolated,
    "quorum lost": _quorum_lost,
    "leader moved": plans.at_once("move_leader"),
    "compaction": plans.at_once("compact"),
    "outside writes": _write_outside,
    "version key deleted": plans.at_once("delete_version"),
    "version key overwritten": plans.at_once("overwrite_version"),
    "no space": plans.switched("nospace", 0.5, 4),
    "tokens expired": plans.at_once("expire_tokens"),
    "leases late": _late_leases,
    "lease revoked": plans.some_instance("revoke_lease"),
    "member key deleted": plans.some_instance("delete_member_key_of"),
    "cut off": plans.instance("cut_off", "heal_instance", 0.3, 12),
    "requests held": plans.instance("cut_off", "heal_instance", 0.3, 12, Way.TO_SERVER.value),
    "answers held": plans.instance("cut_off", "heal_instance", 0.3, 12, Way.TO_CLIENT.value),
    "cut off from a member": _one_member_away,
    "watch stalled": plans.instance("stall_streams", "heal_instance", 0.5, 8),
    "half open": plans.instance("half_open", "heal_instance", 0.5, 8),
    "connections reset": _resets,
    "cut off, and compacted": _cut_off_and_compacted,
    "killed while writing": _killed_while_writing,
    "restored from a backup": _restored,
}
"""Every kind there is, by name."""
