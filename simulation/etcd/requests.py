"""What is refused at the door, before anything is proposed, and what a request is about. Pure."""

from __future__ import annotations

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


def check_txn(request: Any) -> None:
    """Raise Refused for a transaction that etcd takes from nobody."""
    if max(len(request.compare), len(request.success), len(request.failure)) > MAX_OPS:
        raise Refused(TOO_MANY_OPS)
    if not all(compare.key for compare in request.compare):
        raise Refused(EMPTY_KEY)
    for branch in (request.success, request.failure):
        _check_branch(branch)


def check_size(request: Any) -> None:
    """Raise Refused for a request that is too large to be proposed."""
    if request.ByteSize() + OVERHEAD > MAX_REQUEST:
        raise Refused(TOO_LARGE)


def only_reads(request: Any) -> bool:
    """Whether a transaction changes nothing, whichever branch it takes."""
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
            else:
                part = getattr(operation, kind)
                found.append((part.key, part.range_end, kind != "request_range"))
    return found


def _check_branch(branch: Any) -> None:
    puts: dict[bytes, None] = {}
    deletes: list[tuple[bytes, bytes]] = []
    for operation in branch:
        kind = operation.WhichOneof("request")
        request = getattr(operation, kind)
        if not request.key:
            raise Refused(EMPTY_KEY)
        if kind == "request_put":
            if request.key in puts:
                raise Refused(DUPLICATE_KEY)
            puts[request.key] = None
        elif kind == "request_delete_range":
            deletes.append((request.key, request.range_end))
    for first, end in deletes:  # of one that ends at ALL etcd sees no conflict
        if any(key == first if not end else first <= key < end for key in puts):
            raise Refused(DUPLICATE_KEY)


def takes_space(request: Any) -> bool:
    """Whether a transaction may put something."""
    return any(
        operation.HasField("request_put") for branch in (request.success, request.failure) for operation in branch
    )
