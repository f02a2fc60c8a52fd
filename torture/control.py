"""The harness's own eyes and hands in etcd, past the service and its proxies.

Owns one connection to each member, the watches that record the truth, and the reads that tell whether etcd itself keeps
its word. A watch for each member: the first one that knows tells, and a hung member costs nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.etcd.transactions import range_end
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.truth import Change

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_LEADER = (("hasleader", "true"),)
_READ_EVERY = 0.05
_DELETE = 1  # mvccpb.Event.EventType
CONTROL = -1
"""The "instance" of an operation by which the harness asked etcd itself."""


class Control:
    """Safe for concurrent access. As a context manager it watches until it is left."""

    def __init__(self, endpoints: Sequence[str], prefix: str) -> None:
        self._prefix = f"{prefix}/".encode()
        self._channels = [grpc.insecure_channel(url.removeprefix("http://"), _OPTIONS) for url in endpoints]
        self._ended = threading.Event()
        self._moved = threading.Condition()  # protects the three below
        self._changes: list[Change] = []
        self._applied = 0
        self._reads: list[Operation] = []
        self.failure = ""  # why the truth is not to be trusted
        works = [(self._follow, channel) for channel in self._channels] + [(self._ask, c) for c in self._channels]
        self._threads = [
            threading.Thread(target=work, args=(number % len(self._channels), channel), name="control", daemon=True)
            for number, (work, channel) in enumerate(works)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends and joins everything. May be called twice."""
        self._ended.set()
        for channel in self._channels:
            channel.close()
        for thread in self._threads:
            thread.join(5)

    # --- what is known

    def changes(self) -> list[Change]:
        """All that happened so far."""
        with self._moved:
            return list(self._changes)

    def reads(self) -> list[Operation]:
        """Linearizable reads of each member, as operations of "instance" CONTROL."""
        with self._moved:
            return list(self._reads)

    def catch_up(self, timeout: float = 15.0) -> int:
        """Until the watches have seen all that is there now; that revision. Raises AssertionError."""
        revision = self.put("marker", str(time.monotonic()))
        with self._moved:
            known = self._moved.wait_for(lambda: self._applied >= revision, timeout)
        assert known, f"no watch of the harness has seen revision {revision} within {timeout} s"
        return revision

    # --- doing things to etcd; each raises AssertionError when no member does it

    def put(self, name: str, value: str) -> int:
        """Puts a key beneath the prefix, as somebody from outside would; the revision."""
        request = pb.PutRequest(key=self._prefix + name.encode(), value=value.encode())
        return int(self._call(lambda channel: pb.KVStub(channel).Put, request).header.revision)

    def delete(self, name: str) -> None:
        """Deletes a key beneath the prefix."""
        request = pb.DeleteRangeRequest(key=self._prefix + name.encode())
        self._call(lambda channel: pb.KVStub(channel).DeleteRange, request)

    def compact(self) -> None:
        """Forgets everything before now, as soon as the harness has seen it."""
        request = pb.CompactionRequest(revision=self.catch_up())
        self._call(lambda channel: pb.KVStub(channel).Compact, request)

    def revoke(self, slot: int) -> None:
        """Revokes the lease that holds a slot."""
        member = pb.RangeRequest(key=self._prefix + b"members/%02d" % slot)
        found = self._call(lambda channel: pb.KVStub(channel).Range, member)
        assert found.kvs, f"nobody holds slot {slot}"
        lease = pb.LeaseRevokeRequest(ID=found.kvs[0].lease)
        self._call(lambda channel: pb.LeaseStub(channel).LeaseRevoke, lease)

    def _call(self, method: Callable[[Any], Any], request: Any) -> Any:
        problems = []
        for channel in self._channels:
            try:
                return method(channel)(request, timeout=1.0)
            except grpc.RpcError as error:
                problems.append(f"{error.code().name}: {error.details()}")
        raise AssertionError("; ".join(problems))

    # --- the threads

    def _follow(self, member: int, channel: Any) -> None:
        del member
        position = 0
        while not self._ended.is_set():
            try:
                for answer in self._watch(channel, position + 1):
                    if answer.canceled and answer.compact_revision:
                        position = self._skip_to(answer.compact_revision)
                        break
                    if answer.events:
                        position = self._learn(answer.events)
            except (grpc.RpcError, ValueError):
                self._ended.wait(0.1)

    def _watch(self, channel: Any, start: int) -> Iterator[Any]:
        everything = pb.WatchCreateRequest(key=self._prefix, range_end=range_end(self._prefix), start_revision=start)
        request = pb.WatchRequest(create_request=everything)
        answers: Iterator[Any] = pb.WatchStub(channel).Watch(iter((request,)), metadata=_LEADER)
        return answers

    def _skip_to(self, compacted: int) -> int:
        """A watch that was away for too long goes on where the quickest of them is."""
        with self._moved:
            if self._applied < compacted - 1:
                self.failure = f"etcd has forgotten what was between {self._applied} and {compacted}"
            return max(self._applied, compacted - 1)

    def _learn(self, events: Any) -> int:
        """Takes over what nobody has told yet; the last revision of the events. One revision is never split up."""
        now = time.monotonic()
        with self._moved:
            before = self._applied
            for event in events:
                if event.kv.mod_revision > before:
                    self._changes.append(self._change(event, now))
                    self._applied = max(self._applied, event.kv.mod_revision)
            self._moved.notify_all()
        return int(events[-1].kv.mod_revision)

    def _change(self, event: Any, now: float) -> Change:
        key = event.kv.key.removeprefix(self._prefix).decode()
        if event.type == _DELETE:
            return Change(event.kv.mod_revision, key, None, 0, now)
        return Change(event.kv.mod_revision, key, event.kv.value.decode(), event.kv.version, now)

    def _ask(self, member: int, channel: Any) -> None:
        """Linearizable reads of one member, again and again."""
        read = pb.KVStub(channel).Range
        request = pb.RangeRequest(key=self._prefix + b"version")
        while not self._ended.wait(_READ_EVERY):
            invoked = time.monotonic()
            try:
                answer = read(request, timeout=3.0)
            except (grpc.RpcError, ValueError):
                continue
            version = answer.kvs[0].mod_revision if answer.kvs else 0
            self._note(member, invoked, int(answer.header.revision), int(version))

    def _note(self, member: int, invoked: float, revision: int, version: int) -> None:
        returned = time.monotonic()
        with self._moved:
            number = len(self._reads)
            read = Operation(
                number, member, "", Remembers.NOTHING, CONTROL, Kind.READ, Level.UNCACHED, "", None, invoked, returned,
                Outcome.OK, 200, version, revision, "BYPASS",
            )  # fmt: skip
            self._reads.append(read)
