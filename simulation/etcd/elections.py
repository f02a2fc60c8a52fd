"""Which members hear each other, and which one leads. Owns the elections; `raft` owns the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from simulation.etcd.peers import Peer
from simulation.network import Network, drawn

ELECTION = (1.0, 2.0)
"""Seconds of silence after which a leader is elected (etcd's default election timeout, and as much again by chance)."""


class Elections(ABC):
    """See the module's opening. `leader`: who was elected last, whether or not it still has a quorum."""

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self.peers = [Peer(index, name) for index, name in enumerate(names)]
        self.leader: Peer | None = self.peers[0]
        self.term = 2
        self.committed = 0
        self.latency: tuple[float, float] | None = None
        """Seconds that a message between members takes, at least and at most, mostly near the least; None: as on the
        way to clients."""
        self.on_elected: Callable[[], object] = lambda: None
        self._network = network
        self._random = network.random
        self._severed: dict[tuple[int, int], None] = {}
        self._electing = False
        self._life = 0  # how often it has begun anew

    @abstractmethod
    def _learn(self, peer: Peer, index: int, life: int) -> None:
        """`peer` applies everything up to there, unless it hears of nothing just now."""

    @abstractmethod
    def _retry(self) -> None:
        """Other members may reach a leader now: whatever waits for that is asked again."""

    def knows_leader(self, peer: Peer) -> bool:
        """Whether it believes that there is one."""
        return peer.in_touch or self._network.now() < peer.knows_leader_until

    @property
    def working(self) -> bool:
        """Whether there is a leader with a quorum."""
        return self.leader is not None and self.leader.in_touch

    def sever(self, one: Peer, other: Peer) -> None:
        """They don't hear each other any more."""
        self._severed[min(one.index, other.index), max(one.index, other.index)] = None

    def heal(self) -> None:
        """All hear each other again; call `look` afterwards."""
        self._severed.clear()

    def move_leader(self, peer: Peer) -> None:
        """Another one leads, from now on."""
        self._become(peer)

    def look(self) -> None:
        """Something has changed: who can talk to whom? To be called after every change."""
        now = self._network.now()
        leader = self.leader
        quorum = leader is not None and self._has_quorum(leader)
        for peer in self.peers:
            before, peer.in_touch = peer.in_touch, quorum and leader is not None and self._connected(peer, leader)
            if before and not peer.in_touch:
                patience = self._random.uniform(*ELECTION)
                peer.knows_leader_until = now + patience
                self._network.after(patience + 3.0, self._tell_leaderless, peer)
            elif peer.in_touch and not before:
                self._network.after(self._delay(), self._learn, peer, self.committed, self._life)
        if not quorum and not self._electing:
            self._electing = True
            self._network.after(self._random.uniform(*ELECTION), self._elect)
        self._retry()

    def _delay(self) -> float:
        return drawn(self.latency or self._network.latency, self._random)

    def _elect(self) -> None:
        self._electing = False
        if self.leader is not None and self._has_quorum(self.leader):
            return
        able = [peer for peer in self.peers if self._has_quorum(peer)]
        if able:
            self._become(self._random.choice(able))
        else:
            self._electing = True
            self._network.after(self._random.uniform(*ELECTION), self._elect)

    def _become(self, peer: Peer) -> None:
        self.leader = peer
        self.term += 1
        peer.in_touch = True
        self._learn(peer, self.committed, self._life)  # who is elected has all that was committed
        self.on_elected()
        self.look()

    def _tell_leaderless(self, peer: Peer) -> None:
        if peer.able and not peer.in_touch and self._network.now() >= peer.knows_leader_until:
            peer.on_leaderless()

    def _connected(self, one: Peer, other: Peer) -> bool:
        if one is other:
            return one.able
        pair = min(one.index, other.index), max(one.index, other.index)
        return one.able and other.able and pair not in self._severed

    def _has_quorum(self, peer: Peer) -> bool:
        reached = sum(self._connected(peer, other) for other in self.peers)
        return reached > len(self.peers) // 2
