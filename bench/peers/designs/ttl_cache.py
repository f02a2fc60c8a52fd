"""A cache whose entries live for B: no watch, no version, nothing to keep up.

Guarantees that an answer was current at some moment in the last B seconds, since an entry counts from before it was
asked for; that is bounded staleness, as ours. Costs one load per key, instance and B for as long as the key is read,
whether it changes or not. No session, and no linearizable read from memory. Entries that nobody reads any more stay.
"""

from __future__ import annotations

import threading
import time

from bench.peers.designs.etcd import Etcd

BOUND = 1.0
"""B in seconds, the service's default."""

_STRIPES = 64


class TtlCache:
    """See bench.peers.designs.wsgi.Design."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._entries: dict[str, tuple[bytes | None, float]] = {}  # value, and until when it may be served
        self._loading = [threading.Lock() for _ in range(_STRIPES)]  # one load of a key at a time

    def start(self) -> None:
        """Nothing to prepare."""

    def read(self, key: str) -> bytes | None:
        """From memory, unless it is older than B."""
        entry = self._entries.get(key)
        return entry[0] if entry and time.monotonic() < entry[1] else self._load(key)

    def write(self, key: str, value: bytes) -> None:
        """One put; other instances serve what they have until it has expired."""
        self._etcd.put(key, value)
        self._entries.pop(key, None)

    def _load(self, key: str) -> bytes | None:
        with self._loading[hash(key) % _STRIPES]:
            entry = self._entries.get(key)
            if not entry or time.monotonic() >= entry[1]:
                asked = time.monotonic()
                entry = self._entries[key] = self._etcd.get(key).value, asked + BOUND
            return entry[0]
