"""etcd in virtual time. `cluster` is its face; beneath it `member` (RPCs), `raft` (agreement), `machine` (what entries
do), `watches`, `auth`, `ranges`, `mvcc` (the store's history); `channel` is the client's end, as gRPC makes it.
"""

from simulation.etcd.cluster import Cluster
from simulation.etcd.records import Committed, Flaws, Snapshot

__all__ = ["Cluster", "Committed", "Flaws", "Snapshot"]
