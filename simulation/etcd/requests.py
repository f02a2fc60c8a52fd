"""What is refused at the door, before anything is proposed, and what a request is about. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulation.etcd.errors import DUPLICATE_KEY, EMPTY_KEY, TOO_LARGE, TOO_MANY_OPS, Refused

MAX_OPS = 128
"""Most operations of one transaction, of each branch."""

MAX_REQUEST = 1_572_864
"""Most bytes of one request, with what etcd adds of its own."""

OVERHEAD = 200
"""Bytes that etcd adds to a request, about."""


def check_range(request: Any) -> None:
    """Raise Refused for a range without a key."""
    if not request.key:
        raise Refused(EMPTY_KEY)


def check_txn(request: Any, most: int = MAX_OPS) -> None:
    """Raise Refused for a transaction that etcd takes from nobody."""
    _check_counts(request, most)
    for branch in (request.success, request.failure):
        _changes_of(branch)


def _check_counts(request: Any, most: int) -> None:
    """One within another may have as many operations as that one has left."""
    operations = max(len(request.compare), len(request.success), len(request.failure))
    if operations > most:
        raise Refused(TOO_MANY_OPS)
    if not all(compare.key for compare in request.compare):
        raise Refused(EMPTY_KEY)
    for operation in (*request.success, *request.failure):
        if operation.HasField("request_txn"):
            _check_counts(operation.request_txn, most - operations)
        elif not getattr(operation, operation.WhichOneof("request")).key:
            raise Refused(EMPTY_KEY)


def check_size(request: Any) -> None:
    """Raise Refused for a request that is too large to be proposed."""
    if request.ByteSize() + OVERHEAD > MAX_REQUEST:
        raise Refused(TOO_LARGE)


def only_reads(request: Any) -> bool:
    """Whether a transaction changes nothing, whichever branch it takes. One with another in it counts as a write."""
    return all(
        operation.HasField("request_range") for branch in (request.success, request.failure) for operation in branch
    )


def used(request: Any) -> list[tuple[bytes, bytes, bool]]:
    """The keys that a transaction uses: from, to, and whether it writes them."""
    found = [(compare.key, compare.range_end, False) for compare in request.compare]
    for branch in (request.success, request.failure):
        for operation in branch:
            kind = operation.WhichOneof("request")
            if kind == "request_put":
                found.append((operation.request_put.key, b"", True))
            elif kind == "request_txn":
                found += used(operation.request_txn)
            else:
                part = getattr(operation, kind)
                found.append((part.key, part.range_end, kind != "request_range"))
    return found


@dataclass(slots=True)
class _Changes:
    """The keys that a branch puts, and the spans that it deletes, with those of transactions within it."""

    puts: set[bytes] = field(default_factory=set)
    deletes: list[tuple[bytes, bytes]] = field(default_factory=list)

    def put(self, keys: set[bytes]) -> None:
        """Raise Refused for what is put, or deleted, already."""
        # Of a span that ends at ALL etcd sees no conflict.
        gone = any(key == first if not end else first <= key < end for key in keys for first, end in self.deletes)
        if keys & self.puts or gone:
            raise Refused(DUPLICATE_KEY)
        self.puts |= keys


def _changes_of(branch: Any) -> _Changes:
    """In etcd's order: own deletes, what is within, own puts. So what is within may be deleted by what comes later."""
    found = _Changes()
    for operation in branch:
        if operation.HasField("request_delete_range"):
            found.deletes.append((operation.request_delete_range.key, operation.request_delete_range.range_end))
    for operation in branch:
        if operation.HasField("request_txn"):
            then, otherwise = (
                _changes_of(each) for each in (operation.request_txn.success, operation.request_txn.failure)
            )
            found.put(then.puts)
            found.put(otherwise.puts - then.puts)
            found.deletes += [*then.deletes, *otherwise.deletes]
    for operation in branch:
        if operation.HasField("request_put"):
            found.put({operation.request_put.key})
    return found


def takes_space(request: Any) -> bool:
    """Whether a transaction may put something."""
    return any(
        operation.HasField("request_put") or (operation.HasField("request_txn") and takes_space(operation.request_txn))
        for branch in (request.success, request.failure)
        for operation in branch
    )
