"""The replicated log: who leads, what is committed, and how far each member has come.

Owns agreement alone; what an entry does is its caller's. It is told as one log that all share, of which every member
has applied a beginning: an entry that is committed is done at once, for all, and each member learns of it later. What
raft promises of it holds by construction (committed is committed, at one place in one order); what it leaves open is
drawn: how long it takes, who leads, and whether an entry that was proposed when a leader fell is lost or comes late.

  A proposal or a linearizable read needs a leader that can talk to most members, and a member that can talk to it.
  A read may see whatever was committed when it came, or later: its index is drawn when it comes, the leader confirmed
  afterwards.
  Without a quorum nothing is committed. After 1 to 2 s those who are most elect another leader.
  A member that hears from no leader for as long knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulation.etcd.elections import Elections
from simulation.etcd.errors import LEADER_CHANGED, LEADER_FAILED, TIMED_OUT, Status
from simulation.etcd.peers import Peer
from simulation.network import Network

PATIENCE = 7.0
"""Seconds after which etcd gives up what it can't do: its request timeout, 5 s and two election timeouts."""

Fail = Callable[[Status], object]


@dataclass(slots=True)
class _Pending:
    """Something asked of a leader. entry: None for a read."""

    peer: Peer
    term: int
    since: float
    entry: Callable[[], object] | None
    index: int
    done: Callable[[object], object]
    fail: Fail
    life: int
    over: bool = False


class Raft(Elections):
    """Belongs to one cluster. `moment`: asked after each entry, what the members that have applied it show."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        super().__init__(network, names)
        self.on_committed: Callable[[], object] = lambda: None
        self._stuck: list[_Pending] = []

    # --- what members ask

    def propose(self, peer: Peer, entry: Callable[[], object], done: Callable[[object], object], fail: Fail) -> None:
        """Commit the entry: `entry` is called when it is, and `done` with its result once `peer` has applied it."""
        self._ask(_Pending(peer, self.term, self._network.now(), entry, 0, done, fail, self._life))

    def confirm(self, peer: Peer, done: Callable[[], object], fail: Fail) -> None:
        """Call `done` when `peer` has applied all that was committed before now, and the leader has been confirmed."""
        now = self._network.now()
        self._ask(_Pending(peer, self.term, now, None, self.committed, lambda _: done(), fail, self._life))

    def commit_now(self, entry: Callable[[], object]) -> object:
        """Commit at once, as somebody does who stands beside the leader. Raises RuntimeError without a quorum."""
        leader = self.leader
        if leader is None or not leader.in_touch:
            raise RuntimeError("the cluster has no leader with a quorum")
        return self._commit(entry)

    def wait(self, peer: Peer, index: int, done: Callable[[], object]) -> None:
        """Call `done` when `peer` has applied that many entries."""
        if peer.applied >= index:
            done()
        else:
            peer.waiting.append((index, done))

    # --- what befalls them

    def stop(self, peer: Peer) -> None:
        """Its process ends, and what was asked of it with it."""
        peer.running, peer.paused = False, False
        peer.waiting.clear()
        self._stuck = [pending for pending in self._stuck if pending.peer is not peer]

    def forget(self) -> None:
        """The log begins anew, with nobody running; what is under way is lost."""
        self._life += 1
        self.committed, self.term = 0, 2
        self._stuck.clear()
        for peer in self.peers:
            peer.applied = 0
            peer.waiting.clear()

    # --- how it is done

    def _ask(self, pending: _Pending) -> None:
        delay = self._delay
        seconds = 0.0 if len(self.peers) == 1 else 2 * delay()
        if pending.peer is not self.leader:
            seconds += 2 * delay()
        self._network.after(seconds, self._arrive, pending)

    def _arrive(self, pending: _Pending) -> None:
        if pending.over or pending.life != self._life:
            return
        peer = pending.peer
        if pending.term != self.term:
            self._leader_fell(pending)
        elif not peer.in_touch:
            if not any(pending is stuck for stuck in self._stuck):
                self._stuck.append(pending)
                self._network.after(PATIENCE, self._time_out, pending)
        elif pending.entry is None:
            self.wait(peer, pending.index, lambda: pending.done(None))
        else:
            result = self._commit(pending.entry)
            self.wait(peer, self.committed, lambda: pending.done(result))

    def _commit(self, entry: Callable[[], object]) -> object:
        self.committed += 1
        result = entry()
        self.on_committed()
        leader = self.leader
        assert leader is not None
        self._learn(leader, self.committed, self._life)
        for other in self.peers:
            if other is not leader and other.in_touch:
                self._network.after(self._delay(), self._learn, other, self.committed, self._life)
        return result

    def _learn(self, peer: Peer, index: int, life: int) -> None:
        """`peer` applies everything up to there, unless it hears of nothing just now."""
        if life != self._life or not peer.able or index <= peer.applied or not (peer.in_touch or peer is self.leader):
            return
        peer.applied = index
        ready = [done for wanted, done in peer.waiting if wanted <= index]
        peer.waiting = [each for each in peer.waiting if each[0] > index]
        peer.on_applied()
        for done in ready:
            done()

    def _leader_fell(self, pending: _Pending) -> None:
        """What was asked of a leader that is none any more: a read is told, an entry is lost or comes late."""
        pending.over = True
        if pending.entry is None:
            pending.fail(LEADER_CHANGED)
        elif self.working and self._random.random() < 0.5:
            result = self._commit(pending.entry)
            self.wait(pending.peer, self.committed, lambda: pending.done(result))
        else:
            left = max(0.0, pending.since + PATIENCE - self._network.now())
            self._network.after(left, pending.fail, LEADER_FAILED)

    def _time_out(self, pending: _Pending) -> None:
        if not any(pending is stuck for stuck in self._stuck):
            return
        if not pending.peer.able:  # it says nothing now
            self._network.after(PATIENCE, self._time_out, pending)
            return
        pending.fail(TIMED_OUT)
        if pending.entry is None or self._random.random() < 0.5:
            pending.over = True
            self._stuck = [stuck for stuck in self._stuck if stuck is not pending]
        # else it stands in the leader's log, and may still come

    def _retry(self) -> None:
        stuck, self._stuck = self._stuck, []
        for pending in stuck:
            if pending.term != self.term or pending.peer.in_touch:
                self._network.after(self._delay(), self._arrive, pending)
            else:
                self._stuck.append(pending)
