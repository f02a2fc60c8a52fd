"""No cache: every read asks etcd.

Guarantees linearizable reads, as etcd gives them. Costs one RPC and the whole value a read, and etcd has to be there
for each of them.
"""

from __future__ import annotations

from bench.peers.designs.etcd import Etcd


class NoCache:
    """See bench.peers.designs.wsgi.Design."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    def start(self) -> None:
        """Nothing to prepare."""

    def read(self, key: str) -> bytes | None:
        """One linearizable range."""
        return self._etcd.get(key).value

    def write(self, key: str, value: bytes) -> None:
        """One put."""
        self._etcd.put(key, value)
