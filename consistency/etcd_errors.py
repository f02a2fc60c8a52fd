"""What a failed call to etcd means: did it happen, and is another endpoint worth asking? One table. Pure.

Owns the judgement of every status that etcd and gRPC answer with (etcd: api/v3rpc/rpctypes/error.go). The tables are
read from the top and the first phrase found in the details decides; then the status code does. What is in no table
is OutcomeUnknown: nobody can tell, so nobody may claim to.
"""

from __future__ import annotations

from dataclasses import dataclass

from consistency.store import (
    BadCredentials,
    Compacted,
    Denied,
    NoSpace,
    NotReached,
    OutcomeUnknown,
    Rejected,
    StoreError,
    TooLarge,
    Unavailable,
)


class NoSuchLease(Rejected):
    """The lease is not there, or not any more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The meaning of one failure.

    error: what it means for a write that was sent. For a read OutcomeUnknown means Unavailable.
    finding: what was found, for an operator.
    connected: False when no connection could be made, so that nothing can have been sent.
    stale_token: the server did nothing, because of a token that it no longer accepts.
    """

    error: type[StoreError]
    finding: str
    connected: bool = True
    stale_token: bool = False

    def meaning(self, *, write: bool) -> type[StoreError]:
        """The error that the caller of a read or a write gets."""
        return Unavailable if self.error is OutcomeUnknown and not write else self.error

    @property
    def may_be_better_elsewhere(self) -> bool:
        """Whether a read is worth another endpoint: this one failed, rather than the request."""
        failed = issubclass(self.error, (Unavailable, OutcomeUnknown))
        return failed and (self.error is not BadCredentials or not self.connected)

    @property
    def refused(self) -> bool:
        """Whether it is there, and this user may not ask."""
        return self.connected and issubclass(self.error, (Denied, BadCredentials))

    @property
    def certainly_not_done(self) -> bool:
        """Whether a write is worth another endpoint: this one did nothing, and the request is not to blame."""
        return self.may_be_better_elsewhere and self.error is not OutcomeUnknown


class Failed(StoreError):
    """One RPC failed, and this is what it means. Never reaches the caller of the store: `error` makes what does."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.finding)
        self.verdict = verdict

    def error(self, what: str, *, write: bool) -> StoreError:
        """The error for the store's caller. `what` was tried, and where."""
        kind = self.verdict.meaning(write=write)
        unknown = "; it may or may not have happened" if kind is OutcomeUnknown else ""
        return kind(f"{what}: {self.verdict.finding}{unknown}")


_CANNOT_CONNECT = ("failed to connect to all addresses", "errors resolving", "dns resolution failed")

_OUR_CERTIFICATE = "it refused our TLS client certificate, or demands one"

_SILENCE = "nothing comes back from there: are packets dropped on the way?"

# No connection: nothing was sent. (phrase, error, what to tell the operator)
_CONNECTING: tuple[tuple[str, type[StoreError], str], ...] = (
    ("certificate has expired", BadCredentials, "its TLS certificate has expired"),
    ("certificate_verify_failed", BadCredentials, "its TLS certificate is signed by none of the authorities trusted"),
    ("hostname verification check failed", BadCredentials, "its TLS certificate is for another name"),
    ("tsi_data_corrupted", BadCredentials, _OUR_CERTIFICATE),  # TLS 1.3: refused after the handshake
    ("alert_bad_certificate", BadCredentials, _OUR_CERTIFICATE),  # TLS 1.2: refused in it
    ("connection refused", Unavailable, "connection refused"),
    ("name not found", Unavailable, "host name not found"),
    ("lookup failed", Unavailable, "host name not found"),
    ("no route to host", Unavailable, "no route to host"),
    ("network is unreachable", Unavailable, "network is unreachable"),
    ("before receiving settings", Unavailable, "it takes connections but says nothing: does it hang?"),
    ("tcp handshaker shutdown", Unavailable, _SILENCE),  # gRPC's own limit of time, as it words it either way
    ("timed out", Unavailable, _SILENCE),
    ("handshake read failed", Unavailable, "it closed the connection in the TLS handshake: does it expect http?"),
    ("wrong_version_number", Unavailable, "it does not speak TLS: does it expect http?"),
    ("socket closed", Unavailable, "it closed the connection at once: does it expect https?"),
    ("", Unavailable, "no connection"),
)

# etcd answered: refused before anything was proposed, or by every member alike when it was applied.
_ANSWERED: tuple[tuple[str, type[StoreError]], ...] = (
    ("authentication failed", BadCredentials),  # wrong user or password
    ("user name not found", BadCredentials),
    ("permission denied", Denied),
    ("database space exceeded", NoSpace),
    ("request is too large", TooLarge),
    ("too many operations", TooLarge),
    ("grpc: received message larger than max", TooLarge),  # the server's limit: our request
    ("client: received message larger than max", TooLarge),  # our limit: an answer, so it was a read
    ("has been compacted", Compacted),
    ("is a future revision", NotReached),
    ("requested lease not found", NoSuchLease),
    ("too many requests", Unavailable),  # etcd lags behind; refused before it was proposed
    ("no leader", Unavailable),  # refused at the door, since every call demands a leader
    ("not capable", Unavailable),  # as above: the cluster's version is not known yet
    ("not supported for learner", Unavailable),  # as above
    ("corrupt cluster", Rejected),  # the alarm refuses all, until an operator acts
)

_STALE_TOKEN = ("invalid auth token", "auth store is old", "revision in header is old", "user name is empty")

# Neither table knew the details. A code that is not here leaves the outcome unknown: UNAVAILABLE, DEADLINE_EXCEEDED,
# CANCELLED, INTERNAL, UNKNOWN, ABORTED, DATA_LOSS, RESOURCE_EXHAUSTED ("request timed out", "leader changed",
# "server stopped", a broken connection: all may come after the proposal).
_CODES: dict[str, type[StoreError]] = {
    "INVALID_ARGUMENT": Rejected,
    "FAILED_PRECONDITION": Rejected,
    "NOT_FOUND": Rejected,
    "ALREADY_EXISTS": Rejected,
    "OUT_OF_RANGE": Rejected,
    "PERMISSION_DENIED": Denied,
    "UNAUTHENTICATED": BadCredentials,
    "UNIMPLEMENTED": Unavailable,  # whatever listens there, it isn't etcd
}


def judge(code: str, details: str, seconds: float) -> Verdict:
    """The verdict on a call that failed after `seconds` with this gRPC status code (its name) and details."""
    lower = details.lower()
    if lower.startswith(_CANNOT_CONNECT):
        return _judge_connection(lower)
    if any(phrase in lower for phrase in _STALE_TOKEN):
        return Verdict(BadCredentials, f"it wants a user and a password ({details})", stale_token=True)
    for phrase, error in _ANSWERED:
        if phrase in lower:
            return Verdict(error, details)
    finding = f"no answer within {seconds:.1f} s" if code == "DEADLINE_EXCEEDED" else details or code
    return Verdict(_CODES.get(code, OutcomeUnknown), finding)


def _judge_connection(lower: str) -> Verdict:
    error, finding = next((error, finding) for phrase, error, finding in _CONNECTING if phrase in lower)
    return Verdict(error, finding, connected=False)
