"""What the entries of the log do: the store's state, the leases, who is let in, and the alarm.

Owns the meaning of requests; messages come in and go out, as of the generated stubs. Decides nothing of members,
connections or quorums. Time is a parameter. What is not simulated raises NotImplementedError, rather than being
ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from simulation.etcd.auth import Auth
from simulation.etcd.errors import (
    COMPACTED,
    FUTURE_REVISION,
    LEASE_EXISTS,
    LEASE_NOT_FOUND,
    LEASE_TTL_TOO_LARGE,
    NO_SPACE,
    Refused,
)
from simulation.etcd.mvcc import Kv, Mvcc, Writing
from simulation.etcd.ranges import ALL, Moment, add, answer_range, check, holds
from simulation.etcd.requests import takes_space

MAX_TTL = 9_000_000_000

LEAST_TTL = 2
"""Seconds that a lease has at least: 1.5 election timeouts, rounded up."""


@dataclass(slots=True)
class Lease:
    """One lease, as the leader keeps it."""

    ttl: int
    expires: float


class Machine:
    """See the module's opening. `on_change` is told the changes of every transaction that has any."""

    def __init__(self, random: Random, on_change: Callable[[Sequence[Kv]], object]) -> None:
        self.store = Mvcc()
        self.leases: dict[int, Lease] = {}
        self.auth = Auth()
        self.no_space = False
        self._random = random
        self._on_change = on_change

    def moment(self) -> Moment:
        """How far it has come."""
        return Moment(self.store.revision, self.store.compacted)

    # --- reads

    def range(self, request: Any, moment: Moment) -> Any:
        """A RangeResponse, as of a member's moment. Raises Refused."""
        check(request, moment)
        answer = pb.RangeResponse()
        answer_range(answer, self.store, request, moment.revision)
        return answer

    def read(self, request: Any, moment: Moment) -> Any:
        """A TxnResponse to a transaction that only reads. Raises Refused."""
        met = all(holds(compare, self.store, moment.revision) for compare in request.compare)
        operations = request.success if met else request.failure
        for operation in operations:
            check(operation.request_range, moment)
        answer = pb.TxnResponse(succeeded=met)
        for operation in operations:
            found = answer.responses.add().response_range
            found.header.revision = moment.revision
            answer_range(found, self.store, operation.request_range, moment.revision)
        return answer

    # --- writes

    def txn(self, request: Any) -> Any:
        """A TxnResponse. Raises Refused, and then nothing has changed."""
        if self.no_space and takes_space(request):
            raise Refused(NO_SPACE)
        store = self.store
        met, operations = self._branch(request)
        self._check(operations)
        writing, answer = Writing(store), pb.TxnResponse(succeeded=met)
        for operation in operations:
            self._do(writing, operation, answer.responses.add())
        self._end(writing)
        answer.header.revision = store.revision
        return answer

    def put(self, request: Any) -> Any:
        """A PutResponse. Raises Refused."""
        if self.no_space:
            raise Refused(NO_SPACE)
        operation = pb.RequestOp(request_put=request)
        self._check((operation,))
        writing, answer = Writing(self.store), pb.ResponseOp()
        self._do(writing, operation, answer)
        self._end(writing)
        return answer.response_put

    def delete(self, request: Any) -> Any:
        """A DeleteRangeResponse."""
        writing, answer = Writing(self.store), pb.ResponseOp()
        self._do(writing, pb.RequestOp(request_delete_range=request), answer)
        self._end(writing)
        return answer.response_delete_range

    def write(self, puts: Sequence[tuple[bytes, bytes, int]], deletes: Sequence[bytes]) -> int:
        """One transaction of raw keys, as of somebody beside the cluster; the revision."""
        self._on_change(self.store.write(puts, deletes))
        return self.store.revision

    def compact(self, revision: int, forgotten: int) -> None:
        """Forget what was before, but for what members can read who have `forgotten` less. Raises Refused."""
        if revision <= self.store.compacted:
            raise Refused(COMPACTED)
        if revision > self.store.revision:
            raise Refused(FUTURE_REVISION)
        self.store.compact(revision, forgotten)

    # --- leases

    def grant(self, ttl: int, lease: int, now: float) -> tuple[int, int]:
        """The id and the TTL granted. Raises Refused."""
        if self.no_space:
            raise Refused(NO_SPACE)
        if ttl > MAX_TTL:
            raise Refused(LEASE_TTL_TOO_LARGE)
        if lease in self.store.leases:
            raise Refused(LEASE_EXISTS)
        lease = lease or self._random.getrandbits(62) + 1
        granted = max(ttl, LEAST_TTL)
        self.store.leases[lease] = {}
        self.leases[lease] = Lease(granted, now + granted)
        return lease, granted

    def revoke(self, lease: int) -> None:
        """End a lease, and its keys. Raises Refused."""
        if lease not in self.store.leases:
            raise Refused(LEASE_NOT_FOUND)
        self.leases.pop(lease, None)
        changes = self.store.end_lease(lease)
        if changes:
            self._on_change(changes)

    def prolong(self, now: float) -> None:
        """All leases live for their whole TTL again, as under a new leader."""
        for lease in self.leases.values():
            lease.expires = now + lease.ttl

    def expired(self, now: float) -> list[int]:
        """The leases whose time is up."""
        return [number for number, lease in self.leases.items() if lease.expires <= now]

    # --- backups

    def saved(self) -> Mvcc:
        """What a snapshot keeps."""
        return self.store.copy()

    def restore(self, saved: Mvcc, ttls: dict[int, int], now: float) -> None:
        """Turn back to it."""
        self.store = saved.copy()
        self.leases = {lease: Lease(ttls[lease], now + ttls[lease]) for lease in self.store.leases}
        self.auth.tokens.clear()

    # --- how it is done

    def _branch(self, request: Any) -> tuple[bool, Any]:
        """Which branch is taken, of one within another, too: by what there was before any of it."""
        met = all(holds(compare, self.store, self.store.revision) for compare in request.compare)
        return met, request.success if met else request.failure

    def _flat(self, operations: Any) -> Iterator[Any]:
        for operation in operations:
            if operation.HasField("request_txn"):
                yield from self._flat(self._branch(operation.request_txn)[1])
            else:
                yield operation

    def _check(self, branch: Any) -> None:
        """All puts first, then all ranges, as etcd does."""
        operations = tuple(self._flat(branch))
        for operation in operations:
            kind = operation.WhichOneof("request")
            if kind == "request_put":
                put = operation.request_put
                if put.ignore_value or put.ignore_lease:
                    raise NotImplementedError("a put that keeps the value or the lease")
                if put.lease and put.lease not in self.store.leases:
                    raise Refused(LEASE_NOT_FOUND)
        moment = self.moment()
        for operation in operations:
            if operation.HasField("request_range"):
                check(operation.request_range, moment)

    def _do(self, writing: Writing, operation: Any, answer: Any) -> None:
        kind = operation.WhichOneof("request")
        if kind == "request_range":
            found = answer.response_range
            found.header.revision = writing.revision
            answer_range(found, self.store, operation.request_range, writing.revision)
        elif kind == "request_put":
            put = operation.request_put
            before = writing.put(put.key, put.value, put.lease)
            answer.response_put.header.revision = writing.revision
            if put.prev_kv and before is not None:
                _copy(answer.response_put.prev_kv, before)
        elif kind == "request_txn":
            found = answer.response_txn
            found.header.SetInParent()
            found.succeeded, operations = self._branch(operation.request_txn)
            for each in operations:
                self._do(writing, each, found.responses.add())
        else:
            self._delete(writing, operation.request_delete_range, answer.response_delete_range)

    def _delete(self, writing: Writing, request: Any, answer: Any) -> None:
        if request.range_end:
            end = None if request.range_end == ALL else request.range_end
            keys = [kv.key for kv in self.store.span(request.key, end, writing.revision)]
        else:
            keys = [request.key]
        for key in keys:
            before = writing.delete(key)
            if before is not None:
                answer.deleted += 1
                if request.prev_kv:
                    add(answer.prev_kvs, before)
        answer.header.revision = writing.revision

    def _end(self, writing: Writing) -> None:
        changes = writing.end()
        if changes:
            self._on_change(changes)


def _copy(into: Any, kv: Kv) -> None:
    into.key, into.value, into.lease = kv.key, kv.value, kv.lease
    into.create_revision, into.mod_revision, into.version = kv.created, kv.mod, kv.version
