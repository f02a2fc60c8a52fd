"""A version key without names: each write puts it, and a change of it unproves every entry.

Each instance asks for the version key every B/2, so that a hit rests on a linearizable read that was sent less than B
ago: bounded staleness, proven, as ours, and without a watch. What a version changed nobody knows: after a write, each
entry is validated at its next read, by `mod_revision`, which moves no value unless it has changed. Costs K validations
an instance for every write, where K keys are read.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from bench.peers.designs.etcd import TIMEOUT, Etcd, Held, held

BOUND = 1.0
"""B in seconds, the service's default."""


class Proof(NamedTuple):
    """The version key was at `version`; hits may rest on that until `until`."""

    version: int
    until: float


class Entry(NamedTuple):
    """A document that was current at revision `validated_at`."""

    held: Held
    validated_at: int


class VersionKey:
    """See bench.peers.designs.wsgi.Design."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._ask = pb.RangeRequest(key=etcd.layout.version, keys_only=True)
        self._proof = Proof(0, 0.0)
        self._entries: dict[str, Entry] = {}

    def start(self) -> None:
        """Proves for the first time, and then every B/2."""
        self._prove()
        threading.Thread(target=self._go_on_proving, daemon=True).start()

    def read(self, key: str) -> bytes | None:
        """From memory, if it has been validated since the last version that is known, and that is known to be new."""
        entry, proof = self._entries.get(key), self._proof
        if not entry or entry.validated_at < proof.version or time.monotonic() >= proof.until:
            entry = self._entries[key] = self._validate(key, entry)
        return entry.held.value

    def write(self, key: str, value: bytes) -> None:
        """The document and the version key in one transaction."""
        document = pb.PutRequest(key=self._etcd.layout.document(key), value=value)
        version = pb.PutRequest(key=self._etcd.layout.version, value=b"")
        changes = [pb.RequestOp(request_put=document), pb.RequestOp(request_put=version)]
        self._etcd.kv.Txn(pb.TxnRequest(success=changes), timeout=TIMEOUT)

    def _validate(self, key: str, entry: Entry | None) -> Entry:
        """Asks for the key in a transaction of one range. Count 1 and no value: unchanged; count 0: deleted."""
        newer = entry.held.mod_revision + 1 if entry and entry.held.mod_revision else 0
        wanted = pb.RangeRequest(key=self._etcd.layout.document(key), min_mod_revision=newer)
        request = pb.TxnRequest(success=[pb.RequestOp(request_range=wanted)])
        answer = self._etcd.kv.Txn(request, timeout=TIMEOUT)
        found = answer.responses[0].response_range
        unchanged = entry and found.count and not found.kvs
        return Entry(entry.held if entry and unchanged else held(found), answer.header.revision)

    def _prove(self) -> None:
        asked = time.monotonic()
        answer = self._etcd.kv.Range(self._ask, timeout=TIMEOUT)
        self._proof = Proof(held(answer).mod_revision, asked + BOUND)

    def _go_on_proving(self) -> None:
        while True:
            time.sleep(BOUND / 2)
            try:
                self._prove()
            except grpc.RpcError:
                continue  # unproven entries are validated one by one; the next proof may come through
