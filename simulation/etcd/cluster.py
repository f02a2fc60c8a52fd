"""An etcd cluster in virtual time, and everything that can befall it. Start here.

    cluster = Cluster(random, members=3)                    # on the loop whose time is the time
    store = EtcdStore(cluster.config("prefix"), connect=cluster.connect("i-1"), clock=…)   # an instance's store

`cluster.network` has the faults of the way (simulation/network.py); these are the members':

    cluster.pause(0); cluster.resume(0)       # by number; its connections stay, and what comes lies there unread
    cluster.kill(0); cluster.restart(0)       # what it has applied it still has; tokens are forgotten
    cluster.partition([0], [1, 2])            # groups of members that don't hear each other; clients reach them all
    cluster.move_leader()                     # another member leads, whatever is under way
    cluster.heal()                            # resume, restart and reconnect everything; the network's faults, too
    cluster.compact(revision)                 # False if it can't be: compacted already, or not reached
    saved = cluster.snapshot(); cluster.restore(saved)      # same ids, lower revisions; all members restart
    cluster.restore(saved, overtake=True)     # … and then others' writes lead beyond the revisions that were lost
    cluster.restore(saved, renamed=True)      # … into a cluster with another id
    cluster.nospace(True); cluster.nospace(True, quota=True); cluster.nospace(False)
    cluster.enable_auth(user, password, prefix); cluster.expire_tokens()
    cluster.leases_late(seconds)              # from now on leases end so much later
    cluster.lost_events = 0.1                 # of changes so many are not told to who watches one key
    cluster.too_busy = 0.1                    # of writes so many are refused, for certain: etcd lags behind
    cluster.revoke(lease); cluster.write_outside({key: value}, [key], lease=0)       # raw keys, as etcdctl does
    cluster.delete_member_key(layout, slot)

What a nemesis does beside the cluster (`write_outside`, `revoke`, `compact` …) is done at once and returns None (or
False) if no leader has a quorum. `cluster.flaws` are faults of etcd's own, off: `Flaws` says which of them break
promises, so that the checks must fail. `cluster.history` has every transaction that changed something, in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from consistency.etcd.config import Endpoint, EtcdConfig
from consistency.etcd.transactions import Layout
from simulation.etcd.auth import User
from simulation.etcd.channel import Channel
from simulation.etcd.ensemble import Ensemble
from simulation.etcd.errors import Refused
from simulation.etcd.expiry import Expiry
from simulation.etcd.machine import Machine
from simulation.etcd.member import Member
from simulation.etcd.mvcc import Kv
from simulation.etcd.peers import Peer
from simulation.etcd.raft import Raft
from simulation.etcd.ranges import Moment
from simulation.etcd.records import Committed, Flaws, Snapshot
from simulation.network import Network


class Cluster(Ensemble):
    """See the module's opening. Belongs to the loop on which it was made; all chance comes from `random`."""

    def __init__(self, random: Random, members: int = 3, version: str = "3.5.22") -> None:
        self.id = random.getrandbits(63) + 1
        self.ids = [random.getrandbits(63) + 1 for _ in range(members)]
        self.version = version
        self.network = Network(random)
        self.flaws = Flaws()
        self.slow_watches = 0.0
        """Chance, for each watch and each change, that it falls behind for a moment, and then catches up at once."""
        self.lost_events = 0.0
        """Chance, for each watch of one key and each change, that it is not told. Harmless: the version key counts."""
        self.too_busy = 0.0
        """Chance, for each write, that etcd refuses it because it lags behind with what it has been asked already."""
        self.over_quota = False
        self.on_call: Callable[[str, str, Any], object] | None = None
        """Told of each call that a member takes: the client's name, the method, and the request."""
        self.history: list[Committed] = []
        self.timeline = 0
        self.granted: dict[int, int] = {}
        self.machine = Machine(random, self._changed)
        self.raft = Raft(self.network, [f"etcd-{number}" for number in range(members)])
        self.raft.on_committed = self._committed
        self.raft.on_elected = self._elected
        self._moments = [self.machine.moment()]  # by how many entries a member has applied
        self.members = [Member(self, peer) for peer in self.raft.peers]
        for member in self.members:
            self.network.serve(member)
        self._expiry = Expiry(self.machine, self.raft, self.network, self.revoke)

    # --- for instances

    def config(self, prefix: str, user: str | None = None, password: str | None = None) -> EtcdConfig:
        """Where it is, for an EtcdStore."""
        return EtcdConfig(tuple(f"http://{member.name}:2379" for member in self.members), prefix, user, password)

    def connect(self, client: str) -> Callable[[Endpoint, EtcdConfig], Channel]:
        """What makes the channels of a client, which the network knows by this name."""

        def connect(endpoint: Endpoint, config: EtcdConfig) -> Channel:
            del config
            name = endpoint.target.partition(":")[0]
            member = next(member for member in self.members if member.name == name)
            return Channel(self.network, client, name, member.serve)

        return connect

    # --- what somebody does beside the service

    def write_outside(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = (), lease: int = 0) -> int | None:
        """One transaction of raw keys; the revision. Raises NoLeaseError for a lease that is not there."""
        changes = [(key, value, lease) for key, value in puts.items()]
        revision: int | None = self._beside(lambda: self.machine.write(changes, deletes))
        return revision

    def delete_member_key(self, layout: Layout, slot: int) -> int | None:
        """By hand, past the lease that it is attached to; the revision."""
        return self.write_outside({}, [layout.member(slot)])

    def grant(self, ttl: int) -> int:
        """A lease of nobody who renews it; 0 if there can't be one."""
        granted = self._beside(lambda: self._granted(ttl))
        return int(granted or 0)

    def compact(self, revision: int) -> bool:
        """Forget what was before; whether it is done."""
        return bool(self._beside(lambda: self._try(lambda: self.machine.compact(revision, self.forgotten()))))

    def revoke(self, lease: int) -> bool:
        """End a lease, and its keys; whether it was there."""
        return bool(self._beside(lambda: self._try(lambda: self.machine.revoke(lease))))

    def leases_late(self, seconds: float) -> None:
        """From now on leases end so many seconds after their time."""
        self._expiry.late = seconds
        self._expiry.watch()

    def nospace(self, on: bool, *, quota: bool = False) -> None:
        """Raise the alarm: puts and grants are refused. quota: transactions are, too, by members over their quota."""
        self.machine.no_space = on
        self.over_quota = on and quota

    def enable_auth(self, user: str, password: str, prefix: str = "") -> None:
        """Let in only who has a token of this user, who may use the keys that begin with `prefix`."""
        self.machine.auth.enabled = True
        self.machine.auth.users[user] = User(user, password, prefix.encode())

    def disable_auth(self) -> None:
        """Let in everybody."""
        self.machine.auth.enabled = False

    def expire_tokens(self) -> None:
        """All tokens end now."""
        self.machine.auth.tokens.clear()

    # --- backups

    def snapshot(self) -> Snapshot:
        """What `restore` takes."""
        ttls = {lease: each.ttl for lease, each in self.machine.leases.items()}
        return Snapshot(self.timeline, self.machine.store.revision, self.machine.saved(), ttls)

    def restore(self, saved: Snapshot, *, overtake: bool = False, renamed: bool = False) -> None:
        """Turn back to it: every member is killed and starts with it. They have no leader for a moment.

        overtake: somebody else writes until the revision is beyond the one that was lost. renamed: the cluster that
        is made of it has another id.
        """
        if renamed:
            self.id = self.network.random.getrandbits(63) + 1
        lost = self.machine.store.revision
        for number in range(len(self.members)):
            self.kill(number)
        self.timeline += 1
        self.machine.restore(saved.store, saved.ttls, self.now())
        self.raft.forget()
        self._moments = [self.machine.moment()]
        while overtake and self.machine.store.revision <= lost:
            self.machine.write([(b"elsewhere", b"", 0)], ())
            self._moments = [self.machine.moment()]
        for number in range(len(self.members)):
            self.restart(number)
        self._expiry.watch()

    # --- for the members

    def now(self) -> float:
        """The loop's seconds."""
        return self.network.now()

    def moment_of(self, peer: Peer) -> Moment:
        """What a member shows that has come so far."""
        return self._moments[peer.applied]

    def forgotten(self) -> int:
        """Up to which revision all members have compacted: one that lags can be asked for what the others forgot."""
        return min(self._moments[peer.applied].compacted for peer in self.raft.peers)

    def granted_lease(self, lease: int, ttl: int) -> None:
        """See to it that it is ended in its time."""
        self.granted[lease] = ttl
        self._expiry.watch()

    # --- how it is done

    def _changed(self, changes: Sequence[Kv]) -> None:
        if changes:
            committed = Committed(self.timeline, self.machine.store.revision, self.now(), tuple(changes))
            self.history.append(committed)

    def _committed(self) -> None:
        self._moments.append(self.machine.moment())

    def _elected(self) -> None:
        self.machine.prolong(self.now())

    def _beside(self, entry: Callable[[], Any]) -> Any:
        return self.raft.commit_now(entry) if self.working else None

    def _granted(self, ttl: int) -> int:
        try:
            lease, granted = self.machine.grant(ttl, 0, self.now())
        except Refused:
            return 0
        self.granted_lease(lease, granted)
        return lease

    @staticmethod
    def _try(work: Callable[[], object]) -> bool:
        try:
            work()
        except Refused:
            return False
        return True
