"""What a failed call to etcd means: did it happen, and is another endpoint worth asking? A few tables. Pure.

Owns the judgement of every status that etcd and gRPC answer with. Only etcd's own words are final about a request
("etcdserver: …", see etcd's api/v3rpc/rpctypes/error.go). All others are about the endpoint, whatever their code: no
connection, a certificate that does not fit, a proxy's refusal, a server that is no etcd. The next one may do better.

The tables are read from the top and the first phrase found in the details decides; then the status code does. What is
in no table is OutcomeUnknown: nobody can tell, so nobody may claim to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from consistency.core.store import (
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
class Diagnosis:
    """The meaning of one failure.

    error: what it means for a write that was sent. For a read OutcomeUnknown means Unavailable.
    finding: what was found, for an operator.
    connected: False when no connection could be made, so that nothing can have been sent.
    foreign: what answered does not speak as etcd does. To ask it again in a moment helps nobody.
    token_refused: the server did nothing, because of a token that it no longer accepts.
    """

    error: type[StoreError]
    finding: str
    connected: bool = True
    foreign: bool = False
    token_refused: bool = False

    def meaning(self, *, write: bool) -> type[StoreError]:
        """The error that the caller of a read or a write gets."""
        return Unavailable if self.error is OutcomeUnknown and not write else self.error

    @property
    def may_be_better_elsewhere(self) -> bool:
        """Whether a read is worth another endpoint: this one failed, rather than the request."""
        failed = issubclass(self.error, (Unavailable, OutcomeUnknown))
        return failed and (self.error is not BadCredentials or not self.connected)

    @property
    def may_be_better_soon(self) -> bool:
        """Whether the same endpoint is worth asking again within one read: etcd may be there, and not able just now."""
        return self.connected and not self.foreign

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

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.finding)
        self.diagnosis = diagnosis

    def error(self, what: str, *, write: bool) -> StoreError:
        """The error for the store's caller. `what` was tried, and where."""
        kind = self.diagnosis.meaning(write=write)
        unknown = "; it may or may not have happened" if kind is OutcomeUnknown else ""
        return kind(f"{what}: {self.diagnosis.finding}{unknown}")


_CANNOT_CONNECT = ("failed to connect to all addresses", "errors resolving", "dns resolution failed")

_OTHER_NAME = "its TLS certificate is for another name"

_OUR_CERTIFICATE = "it refused our TLS client certificate, or demands one"

_SILENCE = "nothing comes back from there: are packets dropped on the way?"

_NO_WAY_ON = "it is a proxy, and can't reach the etcd behind it"

_NO_ETCD = "it does not answer as etcd does: does something else listen there, or stand between?"

# No connection: nothing was sent. (phrase, error, what to tell the operator)
_CONNECTING: tuple[tuple[str, type[StoreError], str], ...] = (
    ("certificate has expired", BadCredentials, "its TLS certificate has expired"),
    ("certificate is not yet valid", BadCredentials, "its TLS certificate is not valid yet: is a clock wrong?"),
    ("certificate_verify_failed", BadCredentials, "its TLS certificate is signed by none of the authorities trusted"),
    ("hostname verification check failed", BadCredentials, _OTHER_NAME),
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
    ("failed parsing http/2", Unavailable, "it does not speak gRPC: does something else than etcd listen there?"),
    ("", Unavailable, "no connection"),
)

# gRPC compares the name once more before it sends the first call: it takes a certificate without names for a
# connection, and then makes no call. Nothing was sent.
_BEFORE_SENDING = "call host does not match ssl server name"

# How etcd opens whatever it says of a request; as a text within a text where a stream or a proxy passes it on.
_ETCD_SPEAKS = re.compile(r"(rpc error: code = \w+ desc = )*(etcdserver: |auth: revision in header is old)")

_TOKEN_REFUSED = ("invalid auth token", "auth store is old", "revision in header is old", "user name is empty")

# etcd answered: refused before anything was proposed, or by every member alike when it was applied.
_ANSWERED: tuple[tuple[str, type[StoreError]], ...] = (
    ("authentication failed", BadCredentials),  # wrong user or password
    ("user name not found", BadCredentials),
    ("permission denied", Denied),
    ("database space exceeded", NoSpace),
    ("request is too large", TooLarge),
    ("too many operations", TooLarge),
    ("has been compacted", Compacted),
    ("is a future revision", NotReached),
    ("requested lease not found", NoSuchLease),
    ("too many requests", Unavailable),  # etcd lags behind; refused before it was proposed
    ("no leader", Unavailable),  # refused at the door, since every call demands a leader
    ("not capable", Unavailable),  # as above: the cluster's version is not known yet
    ("not supported for learner", Unavailable),  # as above
    ("corrupt cluster", Rejected),  # the alarm refuses all, until an operator acts
    # Through etcd's own proxy all codes are UNKNOWN: what a code tells of other refusals has to be told by the words.
    ("given in txn request", Rejected),
    ("is not provided", Rejected),
    ("is provided", Rejected),
    ("already exists", Rejected),
    ("too large lease ttl", Rejected),
)

# etcd's words, but none of the above: the code says whether they are about the request. A code that is not here leaves
# the outcome unknown: UNAVAILABLE, UNKNOWN, CANCELLED … ("request timed out", "leader changed", "server stopped": all
# may come after the proposal).
_CODES: dict[str, type[StoreError]] = {
    "INVALID_ARGUMENT": Rejected,
    "FAILED_PRECONDITION": Rejected,
    "NOT_FOUND": Rejected,
    "ALREADY_EXISTS": Rejected,
    "OUT_OF_RANGE": Rejected,
    "PERMISSION_DENIED": Denied,
    "UNAUTHENTICATED": BadCredentials,
    "UNIMPLEMENTED": Unavailable,
}

# gRPC's words, of either side, about the size of a message: the request, or an answer (so it was a read).
_LARGER = "received message larger than max"

# How Go's gRPC says that it has no connection. Ours words it otherwise: this is said by who stands between.
_BEYOND = ("all subconns are in transientfailure", "connection error: desc = ", "last connection error")

# Codes that etcd never gives without words of its own, and gRPC not for a connection that broke. Of a write they leave
# the outcome unknown: a proxy may have passed it on before it said so. Only a method that isn't there did nothing.
_NO_ETCD_CODES = frozenset(_CODES) | {"DATA_LOSS", "ABORTED"}


def diagnose(code: str, details: str, seconds: float) -> Diagnosis:
    """The diagnosis of a call that failed after `seconds` with this gRPC status code (its name) and details."""
    lower = details.lower()
    if lower.startswith(_CANNOT_CONNECT):
        return _diagnose_connection(lower)
    if _ETCD_SPEAKS.match(lower):
        return _diagnose_etcd(code, details)
    if _LARGER in lower:
        return Diagnosis(TooLarge, details)
    return _diagnose_stranger(code, details, seconds)


def diagnose_canceled(reason: str, *, created: bool) -> Diagnosis:
    """The diagnosis of a watch that etcd canceled, for this reason. One refused for permissions is created and canceled
    at once, by most releases without a reason."""
    if _ETCD_SPEAKS.match(reason.lower()):
        return _diagnose_etcd("UNAVAILABLE", reason)
    return Diagnosis(Denied if created else Unavailable, reason or "no reason given")


def _diagnose_connection(lower: str) -> Diagnosis:
    error, finding = next((error, finding) for phrase, error, finding in _CONNECTING if phrase in lower)
    return Diagnosis(error, finding, connected=False)


def _diagnose_etcd(code: str, details: str) -> Diagnosis:
    lower = details.lower()
    if any(phrase in lower for phrase in _TOKEN_REFUSED):
        return Diagnosis(BadCredentials, f"it wants a user and a password ({details})", token_refused=True)
    for phrase, error in _ANSWERED:
        if phrase in lower:
            return Diagnosis(error, details)
    return Diagnosis(_CODES.get(code, OutcomeUnknown), details)


def _diagnose_stranger(code: str, details: str, seconds: float) -> Diagnosis:
    """Diagnose words that are not etcd's: gRPC's own about a connection that broke, a proxy's, another server's."""
    if _BEFORE_SENDING in details.lower():
        return Diagnosis(BadCredentials, f"{_OTHER_NAME}: its subjectAltName names nobody", connected=False)
    if any(phrase in details.lower() for phrase in _BEYOND):
        return Diagnosis(OutcomeUnknown, f"{_NO_WAY_ON} ({details})")
    if code in _NO_ETCD_CODES:
        error = Unavailable if code == "UNIMPLEMENTED" else OutcomeUnknown
        return Diagnosis(error, f"{_NO_ETCD} ({code}: {details})", foreign=True)
    finding = f"no answer within {seconds:.1f} s" if code == "DEADLINE_EXCEEDED" else details or code
    return Diagnosis(OutcomeUnknown, finding)
