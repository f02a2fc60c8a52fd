"""The members of a cluster as processes: each runs, stands still or is dead, and hears the others or not."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.etcd.member import Member
from simulation.etcd.raft import Raft
from simulation.network import Network


class Ensemble:
    """See the module's opening. `members` stand in the order of their numbers, as `raft`'s peers do."""

    network: Network
    raft: Raft
    members: list[Member]

    def pause(self, number: int) -> None:
        """The process stands still; nothing is lost."""
        if self.raft.peers[number].able:
            self.raft.peers[number].paused = True
            self.raft.look()
            self.network.changed(self.members[number])

    def resume(self, number: int) -> None:
        """It goes on, and reads what has come meanwhile."""
        if self.raft.peers[number].paused:
            self.raft.peers[number].paused = False
            self.members[number].resumed()
            self.raft.look()
            self.network.changed(self.members[number])

    def kill(self, number: int) -> None:
        """The process ends at once. Connections break; what was proposed may still be committed."""
        peer = self.raft.peers[number]
        if peer.running:
            self.raft.stop(peer)
            self.members[number].died()
            self.raft.look()
            self.network.killed(self.members[number])

    def restart(self, number: int) -> None:
        """The process is there again, with what it had applied."""
        peer = self.raft.peers[number]
        if not peer.running:
            peer.running = True
            self.raft.look()

    def partition(self, *groups: Sequence[int]) -> None:
        """Members of different groups don't hear each other; who is in no group hears everybody."""
        peers = self.raft.peers
        for position, group in enumerate(groups):
            for other in groups[position + 1 :]:
                for one in group:
                    for two in other:
                        self.raft.sever(peers[one], peers[two])
        self.raft.look()

    def move_leader(self, number: int | None = None) -> None:
        """Another member leads (None: drawn). Nothing happens if it could not lead."""
        others = [peer for peer in self.raft.peers if peer is not self.raft.leader and peer.in_touch]
        wanted = [peer for peer in others if number in (None, peer.index)]
        if wanted:
            self.raft.move_leader(self.network.random.choice(wanted))

    def heal(self) -> None:
        """All members run and hear each other, and the network is whole. What was lost stays lost."""
        self.raft.heal()
        for number in range(len(self.members)):
            self.resume(number)
            self.restart(number)
        self.raft.look()
        self.network.heal()

    @property
    def working(self) -> bool:
        """Whether a leader has a quorum, so that something can be committed."""
        return self.raft.working

    @property
    def leader(self) -> int | None:
        """The number of the member that leads, if it has a quorum."""
        return self.raft.leader.index if self.raft.leader is not None and self.working else None
