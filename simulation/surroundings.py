"""Etcd and the network as a run has them: a simulated cluster, and what a plan's steps may do to it.

Owns the actions of these faults (`faults` names them). `processes` does those that befall an instance's own process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from consistency.core.events import Observer
from consistency.core.feed import Scope
from consistency.core.model import Revision
from consistency.core.past import named
from consistency.core.records import OPS
from consistency.core.store import Change, Commit, Put, Store
from consistency.etcd.store import EtcdStore
from consistency.etcd.transactions import Layout, range_end
from simulation.books import Books
from simulation.counting import Counting
from simulation.documents import Documents, Version
from simulation.etcd.cluster import Cluster
from simulation.etcd.records import Committed, Snapshot
from simulation.life import Clock
from simulation.loop import Loop
from simulation.outsiders import Outsiders
from simulation.plan import BOTH, VISIBLE, Plan, Weather
from simulation.way import Way
from torture.truth import Change as Changed

MOMENT = 1e-6
"""Virtual seconds that clocks of different rates may differ by."""

PREFIX = "simulated"
USER, PASSWORD = "service", "secret"


class SimulatedEtcd(Outsiders):
    """See the module's opening. Made on the loop."""

    def __init__(self, plan: Plan, loop: Loop, random: Random) -> None:
        super().__init__(Cluster(random, plan.members), Layout(PREFIX), plan.guarded)
        self._loop = loop
        self._secured = plan.secured
        self._network = self.cluster.network
        self._weather = plan.weather
        self._saved: Snapshot | None = None
        self._restored: Restored | None = None
        self._is_over = False
        self.sent = set[tuple[str, bytes]]()
        """Each document that an instance has asked etcd to store, with its key: what is not there was never sent."""
        self._documents = Documents(self.cluster.history, self.layout.documents)
        self._policies = Documents(self.cluster.history, self.layout.policy)
        self.counting = Counting(self.layout)
        self.cluster.on_call = self.counting.take
        if plan.secured:
            self.cluster.enable_auth(USER, PASSWORD, f"{PREFIX}/")

    # --- for the world

    def connect(self, number: int, clock: Clock, observer: Observer) -> Store:
        """The store of a new process of that instance. observer: is told of each call."""
        user = (USER, PASSWORD) if self._secured else (None, None)
        connect = self.cluster.connect(name_of(number))
        return NotingStore(
            self.cluster.config(PREFIX, *user), connect=connect, clock=clock, sent=self.sent, observer=observer
        )

    def lost(self, number: int) -> None:
        """The process of that instance has died: its connections end."""
        self._network.vanish(name_of(number))

    def begin(self) -> None:
        """The weather of the plan, from now on."""
        self._expose(self._weather)

    def _expose(self, weather: Weather) -> None:
        self._network.latency = weather.latency
        self._network.lost_before = weather.lost_before
        self._network.lost_after = weather.lost_after
        self._network.broken_answers.clear()
        self.cluster.slow_watches = weather.slow_watches

    def heal(self) -> None:
        """End every fault, and the weather."""
        self._expose(Weather())
        self.cluster.nospace(False)
        self.cluster.leases_late(0.0)
        self.cluster.too_busy = self.cluster.lost_events = 0.0
        self.cluster.heal()
        self.release_slots()
        self.mend_unreadable_policy()

    @property
    def restored(self) -> Restored | None:
        """When a backup was restored, if one was."""
        return self._restored

    def committed(self, timeline: int) -> Iterator[Committed]:
        """Every transaction that changed something. timeline: how many backups were restored."""
        for committed in self.cluster.history:
            kept = self._restored is not None and committed.revision <= self._restored.revision
            if committed.timeline == timeline or (committed.timeline < timeline and kept):
                yield committed

    def changes(self, timeline: int) -> Iterator[Changed]:
        """Everything that was committed, with the moment of its commit. timeline: as above."""
        prefix = f"{PREFIX}/".encode()
        for committed in self.committed(timeline):
            for kv in committed.changes:
                if kv.key.startswith(prefix):
                    value = kv.value.decode() if kv.version else None
                    key = kv.key.removeprefix(prefix).decode()
                    yield Changed(committed.revision, key, value, kv.version, committed.at)

    def current(self, key: str, revision: Revision) -> Revision | None:
        """The mod_revision of a key at a revision; 0: absent. None: others write it, or a backup was restored."""
        documents = self.documents()
        others = key in VISIBLE or key.startswith(BOTH)
        return None if documents is None or others else documents.mod_revision_at(key, revision)

    def mod_revision(self, key: str) -> Revision:
        """Of a document as etcd has it now; 0: absent."""
        kv = self.cluster.machine.store.get(self.layout.document(key))
        return 0 if kv is None else kv.mod

    @property
    def revision(self) -> Revision:
        """Etcd's, now."""
        return self._revision()

    def document(self, key: str) -> bytes | None:
        """As etcd has it now."""
        kv = self.cluster.machine.store.get(self.layout.document(key))
        return None if kv is None else kv.value

    def policy_revision(self) -> Revision:
        """Of the policy as etcd has it now; 0: there is none."""
        kv = self.cluster.machine.store.get(self.layout.policy)
        return 0 if kv is None else kv.mod

    def documents(self) -> Documents | None:
        """What all documents were; None once a backup was restored, since they have two histories then."""
        return self._documents if self._restored is None and not self._is_over else None

    def books(self) -> Books:
        """What etcd's history tells of the fleet, to be held against what is promised."""
        timelines = range(2 if self._restored else 1)
        return Books(self.layout, [[*self.committed(timeline)] for timeline in timelines])

    def untold(self, scope: Scope, to: Revision, by: float) -> str:
        """A document of a scope that was changed after a revision and before a moment; "": none is known."""
        for committed in reversed(self.cluster.history) if self._restored is None else ():
            if committed.revision <= to:
                break
            if committed.at < by - MOMENT:
                names = (kv.key for kv in committed.changes if kv.key.startswith(self.layout.documents))
                if name := next((name for name in map(self.layout.key_of, names) if name in scope), ""):
                    return name
        return ""

    def present(self) -> dict[str, tuple[Revision, bytes]]:
        """Every document that there is now, with its revision."""
        first = self.layout.documents
        found = self.cluster.machine.store.range(first, range_end(first))
        return {self.layout.key_of(kv.key): (kv.mod, kv.value) for kv in found}

    def records(self) -> tuple[Counter[str], int]:
        """How many records there are now, by key; and the number of their names (rule 19)."""
        first = self.layout.pasts
        names = [self.layout.past_of(kv.key) for kv in self.cluster.machine.store.range(first, range_end(first))]
        kinds = [(each[0], parsed[1]) for each in names if each and (parsed := named(each[1]))]
        return Counter(key for key, kind in kinds if kind in OPS), len(names)

    def policy(self, revision: Revision | None = None) -> Version | None:
        """The policy in force, or that of a revision, NEVER if there is none; None once a backup was restored."""
        at = self._policies.revision if revision is None else revision
        return self._policies.at("", at) if self._restored is None else None

    def heard_of_policy(self) -> Revision | None:
        """Of the policy in force, if a version has told of it; None: it was put past the service; or there are two."""
        policy = self.policy()
        if policy is None or policy.value is None:
            return None
        (committed,) = (each for each in self.cluster.history if each.revision == policy.revision)
        told = any(kv.key == self.layout.version for kv in committed.changes)
        return policy.revision if told else None

    def versions(self) -> int:
        """How many versions there have been since the version key was created."""
        kv = self.cluster.machine.store.get(self.layout.version)
        return kv.version if kv else 0

    def has_intent(self, nonce: str) -> bool:
        """Whether an intent is there."""
        return self.cluster.machine.store.get(self.layout.intent(nonce)) is not None

    def revoke(self, lease: int) -> None:
        """The lease of a living instance ends."""
        self.cluster.revoke(lease)

    def delete_member_key(self, slot: int) -> None:
        """Somebody deletes a member key by hand."""
        self.cluster.delete_member_key(self.layout, slot)

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
        """It and the others don't hear each other; clients reach it."""
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

    def save(self, anew: bool = False) -> None:
        """Somebody makes a backup. anew: also if there is one."""
        self._saved = self.cluster.snapshot() if anew else self._saved or self.cluster.snapshot()

    def restore(self, overtake: bool, renamed: bool) -> None:
        """The backup is restored, once in a run. overtake: the revisions that are lost are given to other writes.

        renamed: into a cluster with another id.
        """
        if self._saved is not None and self._restored is None:
            self._restored = Restored(self._loop.now, self._saved.revision)
            self.cluster.restore(self._saved, overtake=overtake, renamed=renamed)

    def restore_at_last(self, saved: Snapshot, *, overtake: bool, renamed: bool) -> None:
        """After all that is judged: what documents were is not asked any more."""
        self._is_over = True
        self.cluster.restore(saved, overtake=overtake, renamed=renamed)

    def put_version_at(self, revision: Revision) -> None:
        """Somebody writes until the version key is put, as nonsense, at this very revision; or it is too late."""
        while self._revision() < revision - 1:
            self.cluster.write_outside({b"elsewhere": b""})
        if self._revision() == revision - 1:
            self.overwrite_version()

    def nospace(self, on: bool, quota: bool = False) -> None:
        """The quota is used up (quota: so that transactions are refused), or isn't any more."""
        self.cluster.nospace(on, quota=quota)

    def too_busy(self, chance: float) -> None:
        """From now on so many writes are refused, since etcd lags behind."""
        self.cluster.too_busy = chance

    def lose_events(self, chance: float) -> None:
        """From now on so many changes of the version key are not told to who watches it."""
        self.cluster.lost_events = chance

    def expire_tokens(self) -> None:
        """All tokens end now."""
        self.cluster.expire_tokens()

    def leases_late(self, seconds: float) -> None:
        """From now on leases end so much later."""
        self.cluster.leases_late(seconds)

    def cut_off(self, who: int, way: str = "") -> None:
        """Nothing passes between an instance and etcd (way: from here on in one direction), and nobody is told."""
        self._network.isolate(name_of(who), None, Way(way) if way else None)

    def cut_off_from(self, who: int, number: int) -> None:
        """Nothing passes between an instance and one member."""
        if number < len(self.cluster.members):
            self._network.isolate(name_of(who), self.cluster.members[number].name)

    def break_answers(self, who: int, chance: float) -> None:
        """From now on so many answers to its calls are lost, and it hears that they broke."""
        self._network.broken_answers[name_of(who)] = chance

    def stall_streams(self, who: int) -> None:
        """Its watch stays open, and brings nothing more."""
        self._network.stall(name_of(who))

    def mute_streams(self, who: int) -> None:
        """As before, and nothing heals this watch."""
        self._network.mute(name_of(who))

    def half_open(self, who: int) -> None:
        """Etcd forgets its streams; it is not told."""
        self._network.half_open(name_of(who))

    def hold_answers(self, who: int, on: bool, *, to_writes: bool = False) -> None:
        """What etcd answers to the reads of this instance, or to its writes, leaves late: at `let_answers_go`."""
        holding = self._network.holding_writes if to_writes else self._network.holding
        (holding.add if on else holding.discard)(name_of(who))

    def let_answers_go(self) -> None:
        """Those that were held arrive; none is held any more."""
        self._network.let_go()

    def lose_answers(self, chance: float) -> None:
        """From now on so many calls are done, and their answers lost."""
        self._network.lost_after = chance

    def reset(self, who: int, streams_only: bool) -> None:
        """Its connections break."""
        self._network.reset(name_of(who), streams_only=streams_only)

    def heal_instance(self, who: int) -> None:
        """The way between it and etcd is whole."""
        self._network.heal(name_of(who))

    def _revision(self) -> Revision:
        return self.cluster.machine.store.revision


class NotingStore(EtcdStore):
    """Notes which documents it was to store."""

    def __init__(self, *arguments: Any, sent: set[tuple[str, bytes]], **others: Any) -> None:
        super().__init__(*arguments, **others)
        self._sent = sent

    async def commit(self, changes: Sequence[Change], *arguments: Any, **others: Any) -> Commit:
        self._sent.update((change.key, change.value) for change in changes if isinstance(change, Put))
        return await super().commit(changes, *arguments, **others)


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup was restored `at` so many virtual seconds; it ends with `revision`."""

    at: float
    revision: Revision


def name_of(number: int) -> str:
    """As the network knows an instance."""
    return f"i-{number}"
