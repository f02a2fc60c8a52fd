"""What a plan's steps may do to the processes of the fleet, one at a time. Other steps are etcd's."""

from __future__ import annotations

from collections.abc import Sequence

from simulation.instance import Instance
from simulation.surroundings import SimulatedEtcd


class Processes:
    """See the module's opening."""

    def __init__(self, instances: Sequence[Instance], surroundings: SimulatedEtcd) -> None:
        self._instances = instances
        self._surroundings = surroundings

    def pause_instance(self, who: int) -> None:
        """SIGSTOP."""
        self._instances[who].pause()

    def resume_instance(self, who: int) -> None:
        """SIGCONT."""
        self._instances[who].resume()

    def stall_instance(self, who: int, seconds: float) -> None:
        """Something holds its loop for so long."""
        self._instances[who].stall(seconds)

    def kill_instance(self, who: int) -> None:
        """SIGKILL."""
        self._instances[who].kill()
        self._surroundings.lost(who)

    def stop_instance(self, who: int) -> None:
        """SIGTERM; does not wait."""
        self._instances[who].stop()

    def start_instance(self, who: int) -> None:
        """A new process, unless one is there."""
        self._instances[who].start()

    def end_auditor(self, how: str) -> None:
        """Who holds the lowest slot is killed, or stopped."""
        slots = [(life.cache.status().slot, each.number) for each in self._instances if (life := each.alive)]
        if held := [(slot, number) for slot, number in slots if slot is not None]:
            (self.kill_instance if how == "kill" else self.stop_instance)(min(held)[1])

    def start_everybody(self) -> None:
        """New processes, where there are none."""
        for instance in self._instances:
            instance.start()

    def revoke_lease(self, who: int) -> None:
        """The lease of a living instance ends."""
        if (life := self._instances[who].alive) and (lease := life.cache.status().lease):
            self._surroundings.revoke(lease)

    def delete_member_key_of(self, who: int) -> None:
        """Somebody deletes its member key by hand."""
        if (life := self._instances[who].alive) and (slot := life.cache.status().slot) is not None:
            self._surroundings.delete_member_key(slot)
