"""What others do to the keys in etcd, past the service: documents, the version key, slots."""

from __future__ import annotations

import json
from collections.abc import Sequence

from consistency.core.model import SLOTS
from consistency.etcd.layout import Layout
from simulation.etcd.cluster import Cluster
from simulation.plan import VISIBLE

LONG = 1000
"""Seconds for which slots may be held by others, at most: they are given back before."""


class Outsiders:
    """See the module's opening. The actions of a plan's steps that are done by hand.

    guarded: prefixes that a policy which they put names.
    """

    def __init__(self, cluster: Cluster, layout: Layout, guarded: Sequence[str] = ()) -> None:
        self.cluster = cluster
        self._layout = layout
        self._guarded = guarded
        self._writes = 0
        self._slots: set[int] = set()  # leases that hold slots, or have held some: a restore brings them back

    def write_outside(self, many: int, deletes: int) -> None:
        """Somebody writes documents past the service, and deletes some."""
        keys = [self._layout.document(key) for key in VISIBLE]
        self.cluster.write_outside({key: self._value() for key in keys[:many]}, keys[many : many + deletes])

    def recreate_outside(self, many: int) -> None:
        """Somebody deletes documents past the service, and puts others there at once."""
        keys = [self._layout.document(key) for key in VISIBLE[:many]]
        self.cluster.write_outside({}, keys)
        self.cluster.write_outside({key: self._value() for key in keys})

    def write_leased(self, key: str) -> int:
        """Somebody puts a document past the service that ends with a lease; the lease."""
        lease = self.cluster.grant(LONG)
        self.cluster.write_outside({self._layout.document(key): self._value()}, lease=lease)
        return lease

    def delete_version(self) -> None:
        """Somebody deletes the version key."""
        self.cluster.write_outside({}, [self._layout.version])

    def overwrite_version(self) -> None:
        """Somebody puts nonsense under the version key."""
        self.cluster.write_outside({self._layout.version: self._value()})

    def overwrite_policy(self) -> None:
        """Somebody puts nonsense in place of the policy."""
        self.cluster.write_outside({self._layout.policy: self._value()})

    def mend_policy(self, leave_one: bool) -> None:
        """Somebody puts a policy that demands nothing of documents, or deletes the one there is."""
        good = json.dumps(
            {"note": self._value().decode(), "guarded": self._guarded, "schemas": {}, "reason_required": []}
        ).encode()
        self.cluster.write_outside(
            {self._layout.policy: good} if leave_one else {}, [] if leave_one else [self._layout.policy]
        )

    def hold_slots(self, free: int) -> None:
        """All slots that nobody has, but for the first `free` of them, are held by instances of somebody else."""
        store = self.cluster.machine.store
        slots = [slot for slot in range(SLOTS) if store.get(self._layout.member(slot)) is None][free:]
        if lease := self.cluster.grant(LONG):
            self._slots.add(lease)
            self.cluster.write_outside({self._layout.member(slot): b"{}" for slot in slots}, lease=lease)

    def release_slots(self) -> None:
        """They are given back, as soon as etcd takes it; also those that a restored backup has brought back."""
        there = self._slots & self.cluster.machine.leases.keys()
        if [lease for lease in sorted(there) if not self.cluster.revoke(lease)]:
            self.cluster.network.after(0.1, self.release_slots)

    def _value(self) -> bytes:
        self._writes += 1
        return f'"outside {self._writes}"'.encode()
