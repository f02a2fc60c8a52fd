"""When leases end: a leader looks for them, a little after their time, or as late as a fault has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from simulation.etcd.machine import Machine
from simulation.etcd.raft import Raft
from simulation.network import Network

EXPIRY = 0.5
"""Seconds between two times at which a leader looks for leases that have ended."""


class Expiry:
    """See the module's opening. end: revokes one. `late`: seconds after their time."""

    def __init__(self, machine: Machine, raft: Raft, network: Network, end: Callable[[int], object]) -> None:
        self.late = 0.0
        self._machine = machine
        self._raft = raft
        self._network = network
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look again when the first lease ends. Renewals put it off: then there is nothing to do at that look."""
        leases = self._machine.leases.values()
        if not leases:
            return
        due = max(self._network.now(), min(lease.expires for lease in leases) + self.late)
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._network.at(due + self._network.random.uniform(0.0, EXPIRY), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if not self._raft.working:
            self._timer = self._network.after(EXPIRY, self._expire)
            return
        for lease in self._machine.expired(self._network.now() - self.late):
            self._end(lease)
        self.watch()
