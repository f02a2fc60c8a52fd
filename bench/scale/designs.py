"""What one would build instead of this cache: four designs, each in its shortest honest form.

Each says what it guarantees and what it doesn't. All serve the same two requests (bench.scale.fleet), and speak to etcd
through the same generated stubs. That is much less than the service's own store: one endpoint, no failover, and errors
are gRPC's own.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple, Protocol

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.etcd.transactions import Layout, range_end

TIMEOUT = 3.0
"""Seconds for one call of etcd."""

MAX_ANSWER = 64 * 1024 * 1024
"""Most bytes of one answer: a design may ask for everything at once."""

BOUND = 1.0
"""B in seconds, the service's default."""

PAUSE = 0.5
"""Seconds between the end of a watch and the next attempt."""

_STRIPES = 64

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER),
)


class Held(NamedTuple):
    """A document as it was seen: None when there was none, and its `mod_revision`, then 0."""

    value: bytes | None
    mod_revision: int


class Etcd:
    """Documents beneath a prefix, by key. Owns one connection; the first call makes it.

    Safe for concurrent access. To be made in the process that uses it: connections don't survive a fork.
    """

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.layout = Layout(prefix)
        channel = grpc.insecure_channel(endpoint.removeprefix("http://"), _OPTIONS)
        self.kv, self.watches = pb.KVStub(channel), pb.WatchStub(channel)

    def get(self, key: str) -> Held:
        """A linearizable read. Raises grpc.RpcError."""
        return held(self.kv.Range(pb.RangeRequest(key=self.layout.document(key)), timeout=TIMEOUT))

    def put(self, key: str, value: bytes) -> None:
        """Returns when it is committed. Raises grpc.RpcError."""
        self.kv.Put(pb.PutRequest(key=self.layout.document(key), value=value), timeout=TIMEOUT)


def held(answer: Any) -> Held:
    """What the answer to a range of one key says."""
    return Held(answer.kvs[0].value, answer.kvs[0].mod_revision) if answer.kvs else Held(None, 0)


class Design(Protocol):
    """A cache, or none. `read` and `write` may be called by several threads; both raise grpc.RpcError."""

    def start(self) -> None:
        """Called once, before the first request; returns when requests can be served."""

    def read(self, key: str) -> bytes | None:
        """The document, None when there is none."""

    def write(self, key: str, value: bytes) -> None:
        """Returns when etcd has committed it."""


class NoCache:
    """No cache: every read asks etcd.

    Guarantees linearizable reads, as etcd gives them. Costs one RPC and the whole value a read, and etcd has to be
    there for each of them.
    """

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


class PrefixWatch:
    """A watch on the whole prefix: everything is read at the start, and etcd pushes every change into every instance.

    Guarantees that instances agree in the end, as long as their watches live. There is no bound: an instance whose
    watch stalls (a cut-off member, a half-open connection) goes on serving what it has, silently. Costs nothing while
    nothing changes and nothing for a read; one message with the value per write and instance, whether the instance's
    clients read that key or not; and memory for all keys in every instance.
    """

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._range = {"key": etcd.layout.documents, "range_end": range_end(etcd.layout.documents)}
        self._documents: dict[str, bytes] = {}

    def start(self) -> None:
        """Returns when everything has been read and is being watched."""
        stream = self._open()
        threading.Thread(target=self._follow, args=(stream,), daemon=True).start()

    def read(self, key: str) -> bytes | None:
        """Always from memory."""
        return self._documents.get(key)

    def write(self, key: str, value: bytes) -> None:
        """One put; it reaches this instance's memory by the watch, as everybody's."""
        self._etcd.put(key, value)

    def _open(self) -> Any:
        """Reads everything, and watches from the next revision on: nothing is missed in between."""
        found = self._etcd.kv.Range(pb.RangeRequest(**self._range), timeout=TIMEOUT)
        self._documents = {self._etcd.layout.key_of(kv.key): kv.value for kv in found.kvs}
        asked = pb.WatchCreateRequest(**self._range, start_revision=found.header.revision + 1)
        stream = self._etcd.watches.Watch(iter([pb.WatchRequest(create_request=asked)]))
        next(stream)  # the confirmation
        return stream

    def _follow(self, stream: Any) -> None:
        while True:
            try:
                for answer in stream:
                    self._apply(answer.events)
                stream = self._open()
            except grpc.RpcError:
                time.sleep(PAUSE)
                stream = iter(())

    def _apply(self, events: Any) -> None:
        for event in events:
            key = self._etcd.layout.key_of(event.kv.key)
            if event.type == event.DELETE:
                self._documents.pop(key, None)
            else:
                self._documents[key] = event.kv.value


class TtlCache:
    """A cache whose entries live for B: no watch, no version, nothing to keep up.

    Guarantees that an answer was current at some moment in the last B seconds, since an entry counts from before it was
    asked for; that is bounded staleness, as ours. Costs one load per key, instance and B for as long as the key is
    read, whether it changes or not. No session, and no linearizable read from memory. Entries that nobody reads any
    more stay.
    """

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


class Proof(NamedTuple):
    """The version key was at `version`; hits may rest on that until `until`."""

    version: int
    until: float


class Entry(NamedTuple):
    """A document that was current at revision `validated_at`."""

    held: Held
    validated_at: int


class VersionKey:
    """A version key without names: each write puts it, and a change of it unproves every entry.

    Each instance asks for the version key every B/2, so that a hit rests on a linearizable read that was sent less than
    B ago: bounded staleness, proven, as ours, and without a watch. What a version changed nobody knows: after a write,
    each entry is validated at its next read, by `mod_revision`, which moves no value unless it has changed. Costs K
    validations an instance for every write, where K keys are read.
    """

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
