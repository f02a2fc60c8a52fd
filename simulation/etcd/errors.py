"""What etcd says when it refuses: codes and words as in its api/v3rpc/rpctypes/error.go."""

from __future__ import annotations

from dataclasses import dataclass

from grpc import StatusCode  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Status:
    """How an RPC ends that has no answer."""

    code: StatusCode
    details: str


class Refused(Exception):
    """etcd does not do it, and says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.details)
        self.status = status


def _says(code: StatusCode, words: str) -> Status:
    return Status(code, f"etcdserver: {words}")


EMPTY_KEY = _says(StatusCode.INVALID_ARGUMENT, "key is not provided")
DUPLICATE_KEY = _says(StatusCode.INVALID_ARGUMENT, "duplicate key given in txn request")
TOO_MANY_OPS = _says(StatusCode.INVALID_ARGUMENT, "too many operations in txn request")
TOO_LARGE = _says(StatusCode.INVALID_ARGUMENT, "request is too large")
COMPACTED = _says(StatusCode.OUT_OF_RANGE, "mvcc: required revision has been compacted")
FUTURE_REVISION = _says(StatusCode.OUT_OF_RANGE, "mvcc: required revision is a future revision")
NO_SPACE = _says(StatusCode.RESOURCE_EXHAUSTED, "mvcc: database space exceeded")
LEASE_NOT_FOUND = _says(StatusCode.NOT_FOUND, "requested lease not found")
LEASE_EXISTS = _says(StatusCode.FAILED_PRECONDITION, "lease already exists")
LEASE_TTL_TOO_LARGE = _says(StatusCode.OUT_OF_RANGE, "too large lease TTL")
AUTH_NOT_ENABLED = _says(StatusCode.FAILED_PRECONDITION, "authentication is not enabled")
AUTH_FAILED = _says(StatusCode.INVALID_ARGUMENT, "authentication failed, invalid user ID or password")
USER_EMPTY = _says(StatusCode.INVALID_ARGUMENT, "user name is empty")
INVALID_TOKEN = _says(StatusCode.UNAUTHENTICATED, "invalid auth token")
PERMISSION_DENIED = _says(StatusCode.PERMISSION_DENIED, "permission denied")
NO_LEADER = _says(StatusCode.UNAVAILABLE, "no leader")
LEADER_CHANGED = _says(StatusCode.UNAVAILABLE, "leader changed")
TIMED_OUT = _says(StatusCode.UNAVAILABLE, "request timed out")
LEADER_FAILED = _says(StatusCode.UNAVAILABLE, "request timed out, possibly due to previous leader failure")
TOO_MANY_REQUESTS = _says(StatusCode.RESOURCE_EXHAUSTED, "too many requests")

CONNECTION_REFUSED = Status(
    StatusCode.UNAVAILABLE,
    "failed to connect to all addresses; last error: UNKNOWN: Failed to connect to remote host: "
    "connect: Connection refused (111)",
)
CONNECTION_SILENT = Status(
    StatusCode.UNAVAILABLE,
    "failed to connect to all addresses; last error: UNAVAILABLE: "
    "connection attempt timed out before receiving SETTINGS frame",
)
SOCKET_CLOSED = Status(StatusCode.UNAVAILABLE, "Socket closed")
PING_TIMEOUT = Status(StatusCode.UNAVAILABLE, "ping timeout")
STREAM_REMOVED = Status(StatusCode.UNKNOWN, "Stream removed")
DEADLINE = Status(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
CANCELLED = Status(StatusCode.CANCELLED, "Locally cancelled by application!")
