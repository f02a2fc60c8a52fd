"""From the words of the protocol to what etcd is asked: pieces of its messages. `messages` reads the answers. Pure."""

from __future__ import annotations

from typing import Any, assert_never

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import MustBeAbsent, MustBeAt, MustExist, Precondition, Revision


def range_op(key: bytes, **options: Any) -> Any:
    """What is under one key, or from it on to `range_end`; options of etcd's RangeRequest."""
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **options))


def put_op(key: bytes, value: bytes, lease: int = 0) -> Any:
    """Put it, attached to the lease if there is one."""
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))


def delete_op(key: bytes) -> Any:
    """Delete one key."""
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def add_range(operations: Any, key: bytes, **options: Any) -> None:
    """Add `range_op` to a transaction's operations. Made where it stands, it takes a third of the time."""
    operations.add(request_range={"key": key, **options})


def add_put(operations: Any, key: bytes, value: bytes) -> Any:
    """Add a put to a transaction's operations. Return the message, whose value may still be changed."""
    put = operations.add().request_put
    put.key, put.value = key, value
    return put


def add_deletion(operations: Any, key: bytes) -> None:
    """Add the deletion of one key to a transaction's operations."""
    operations.add().request_delete_range.key = key


def add_if(operations: Any, condition: Any) -> Any:
    """Add a transaction within a transaction. Return its operations, none as yet, for when `condition` holds."""
    within = operations.add().request_txn
    within.compare.append(condition)
    return within.success


def watch_request(key: bytes, end: bytes, start: Revision) -> Any:
    """Return the request to watch one key, or from it on to `end`, from a revision on."""
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=end, start_revision=start))


def held_by(key: bytes, lease: int) -> Any:
    """If the key is attached to this lease; an absent one has lease 0."""
    return pb.Compare(key=key, target=pb.Compare.LEASE, result=pb.Compare.EQUAL, lease=lease)


def absent(key: bytes) -> Any:
    """If there is no such key."""
    return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=0)


def last_written(key: bytes, revision: Revision) -> Any:
    """If the key was last written at this revision; 0: if there is none."""
    return pb.Compare(key=key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=revision)


def compare(key: bytes, precondition: Precondition) -> Any:
    """If the precondition holds."""
    match precondition:
        case MustBeAbsent():
            return absent(key)
        case MustExist():
            return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.GREATER, create_revision=0)
        case MustBeAt(mod_revision=wanted):
            return last_written(key, wanted)
        case _:
            assert_never(precondition)
