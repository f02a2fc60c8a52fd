"""What others do to the keys in etcd, past the service: documents, the version key, slots."""

from __future__ import annotations

import json
from collections.abc import Sequence

from consistency.core.model import SLOTS, WAITING, VersionRecord, new_nonce
from consistency.etcd.transactions import Layout, range_end
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
        self.layout = layout
        self._guarded = guarded
        self._writes = 0
        self._slots: set[int] = set()  # leases that hold slots, or have held some: a restore brings them back

    def write_outside(self, many: int, deletes: int) -> None:
        """Somebody writes documents past the service, and deletes some."""
        keys = [self.layout.document(key) for key in VISIBLE]
        self.cluster.write_outside({key: self._value() for key in keys[:many]}, keys[many : many + deletes])

    def recreate_outside(self, many: int) -> None:
        """Somebody deletes documents past the service, and puts others there at once."""
        keys = [self.layout.document(key) for key in VISIBLE[:many]]
        self.cluster.write_outside({}, keys)
        self.cluster.write_outside({key: self._value() for key in keys})

    def delete_outside(self, key: str) -> None:
        """Somebody deletes a document past the service."""
        self.cluster.write_outside({}, [self.layout.document(key)])

    def write_leased(self, key: str) -> int:
        """Somebody puts a document past the service that ends with a lease; the lease."""
        lease = self.cluster.grant(LONG)
        self.cluster.write_outside({self.layout.document(key): self._value()}, lease=lease)
        return lease

    def put_outside(self, key: str, value: bytes | None) -> int:
        """Somebody puts a document past the service, or deletes it; its revision."""
        name = self.layout.document(key)
        self.cluster.write_outside({} if value is None else {name: value}, [name] if value is None else [])
        return self.cluster.machine.store.revision

    def put_by_an_older_release(self, key: str, value: bytes) -> int:
        """An instance of a release without history puts a document, and names it; its revision."""
        record = VersionRecord(new_nonce(), frozenset((key,)), "put")
        self.cluster.write_outside({self.layout.document(key): value, self.layout.version: record.encode()})
        return self.cluster.machine.store.revision

    def delete_version(self) -> None:
        """Somebody deletes the version key."""
        self.cluster.write_outside({}, [self.layout.version])

    def recreate_version(self, times: int) -> None:
        """Somebody deletes the version key, and puts nonsense there so many times: it counts from the beginning."""
        self.delete_version()
        for _ in range(times):
            self.overwrite_version()

    def overwrite_version(self) -> None:
        """Somebody puts nonsense under the version key."""
        self.cluster.write_outside({self.layout.version: self._value()})

    def overwrite_policy(self) -> None:
        """Somebody puts nonsense in place of the policy."""
        self.cluster.write_outside({self.layout.policy: self._value()})

    def mend_policy(self, leave_one: bool) -> None:
        """Somebody puts a policy that demands nothing of documents, or deletes the one there is."""
        good = json.dumps(
            {"note": self._value().decode(), "guarded": self._guarded, "schemas": {}, "reason_required": []}
        ).encode()
        self.cluster.write_outside(
            {self.layout.policy: good} if leave_one else {}, [] if leave_one else [self.layout.policy]
        )

    def mend_unreadable_policy(self) -> None:
        """If somebody has put nonsense in its place, and has not made that good."""
        there = self.cluster.machine.store.get(self.layout.policy)
        if there is not None and not there.value.startswith(b"{"):
            self.mend_policy(True)

    def hold_slots(self, free: int, below: int = SLOTS) -> None:
        """All slots that nobody has, but for the first `free` of them, are held by instances of somebody else.

        below: only those with a lower number.
        """
        store = self.cluster.machine.store
        slots = [slot for slot in range(below) if store.get(self.layout.member(slot)) is None][free:]
        if lease := self.cluster.grant(LONG):
            self._slots.add(lease)
            self.cluster.write_outside({self.layout.member(slot): b"{}" for slot in slots}, lease=lease)

    def crowd(self) -> None:
        """As many instances of somebody else wait for a slot as there may be (rule 9)."""
        for _ in range(WAITING):
            if lease := self.cluster.grant(LONG):
                self._slots.add(lease)
                self.cluster.write_outside({self.layout.wait(lease): b"{}"}, lease=lease)

    def waiting(self) -> set[int]:
        """The leases of all who are seen to wait for a slot."""
        store, first = self.cluster.machine.store, self.layout.waiting
        return {each.lease for each in store.range(first, range_end(first))}

    def has_gone(self, lease: int) -> bool:
        """Whether it is written down of the holder of this lease."""
        return self.cluster.machine.store.get(self.layout.departure(lease)) is not None

    def usurp_lowest_slot(self) -> None:
        """Somebody puts the member key of the lowest slot by hand: it has no lease any more, so it is nobody's."""
        if held := self._held_slots():
            self.cluster.write_outside({self.layout.member(held[0]): b"by hand"})

    def make_up_acks(self) -> None:
        """Somebody puts acknowledgements by hand, of all that there will ever be. Without a lease they don't count."""
        self.cluster.write_outside({self.layout.ack(slot): b"999999999" for slot in self._held_slots()})

    def _held_slots(self) -> list[int]:
        store = self.cluster.machine.store
        return [slot for slot in range(SLOTS) if store.get(self.layout.member(slot)) is not None]

    def release_slots(self) -> None:
        """They are given back, as soon as etcd takes it; also those that a restored backup has brought back."""
        there = self._slots & self.cluster.machine.leases.keys()
        if [lease for lease in sorted(there) if not self.cluster.revoke(lease)]:
            self.cluster.network.after(0.1, self.release_slots)

    def _value(self) -> bytes:
        self._writes += 1
        return f'"outside {self._writes}"'.encode()
