"""What is told of a cluster: its flaws, what it has committed, its backups. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.etcd.mvcc import Kv, Mvcc


@dataclass(slots=True)
class Flaws:
    """What releases of etcd got wrong.

    stale_reads_after_pause: for so many seconds after a pause a member answers linearizable reads from what it had
      applied before (etcd #20418). Nothing is linearizable then: the checks must fail.
    renews_dead_leases: a renewal of a lease that has been revoked says that it lives (before 3.4.38). Harmless: every
      proof reads the member key.
    over_quota_reads: whether over its quota etcd still takes transactions that only read (3.4.23 does, 3.5.1 doesn't).
    """

    stale_reads_after_pause: float = 0.0
    renews_dead_leases: bool = False
    over_quota_reads: bool = True


@dataclass(frozen=True, slots=True)
class Committed:
    """One transaction that changed something. timeline: how many backups had been restored before it.

    at: seconds of the loop. changes: the keys as they stand from `revision` on, in their order.
    """

    timeline: int
    revision: int
    at: float
    changes: tuple[Kv, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A backup."""

    timeline: int
    revision: int
    store: Mvcc
    ttls: dict[int, int]
