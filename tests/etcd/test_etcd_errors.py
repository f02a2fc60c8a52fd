"""The table of etcd's errors: did it happen? The texts are those that etcd and gRPC really send."""

from __future__ import annotations

import pytest

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
from consistency.etcd.errors import NoSuchLease, diagnose, diagnose_canceled


@pytest.mark.parametrize(
    ("code", "details", "write"),
    [
        ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", NoSpace),
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests", Unavailable),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (4600018 vs. 2097152)", TooLarge),
        ("RESOURCE_EXHAUSTED", "Bandwidth exhausted or memory limit exceeded", OutcomeUnknown),
        ("INVALID_ARGUMENT", "etcdserver: request is too large", TooLarge),
        ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", TooLarge),
        ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", Rejected),
        ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", BadCredentials),
        ("UNAUTHENTICATED", "etcdserver: invalid auth token", BadCredentials),
        ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", BadCredentials),
        ("UNKNOWN", "auth: revision in header is old", BadCredentials),
        ("UNKNOWN", "etcdserver: duplicate key given in txn request", Rejected),
        ("UNKNOWN", "etcdserver: key is not provided", Rejected),
        ("UNKNOWN", "etcdserver: value is provided", Rejected),
        ("UNKNOWN", "etcdserver: lease already exists", Rejected),
        ("UNKNOWN", "etcdserver: too large lease TTL", Rejected),
        ("UNKNOWN", "etcdserver: leader changed", OutcomeUnknown),
        ("UNAVAILABLE", "all SubConns are in TransientFailure", OutcomeUnknown),
        ("INVALID_ARGUMENT", "etcdserver: user name is empty", BadCredentials),
        ("PERMISSION_DENIED", "etcdserver: permission denied", Denied),
        ("NOT_FOUND", "etcdserver: requested lease not found", NoSuchLease),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", Compacted),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision", NotReached),
        ("FAILED_PRECONDITION", "etcdserver: lease already exists", Rejected),
        ("DATA_LOSS", "etcdserver: corrupt cluster", Rejected),
        ("UNAVAILABLE", "etcdserver: no leader", Unavailable),
        ("UNAVAILABLE", "etcdserver: not capable", Unavailable),
        ("UNAVAILABLE", "etcdserver: leader changed", OutcomeUnknown),
        ("UNAVAILABLE", "etcdserver: server stopped", OutcomeUnknown),
        ("UNAVAILABLE", "etcdserver: request timed out, possibly due to previous leader failure", OutcomeUnknown),
        ("UNAVAILABLE", "Socket closed", OutcomeUnknown),
        ("UNAVAILABLE", "recvmsg:Connection reset by peer", OutcomeUnknown),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", OutcomeUnknown),
        ("CANCELLED", "Channel closed!", OutcomeUnknown),
        ("INTERNAL", "", OutcomeUnknown),
        ("UNKNOWN", "Stream removed", OutcomeUnknown),
        ("SOMETHING_NEW", "", OutcomeUnknown),
        ("INVALID_ARGUMENT", "etcdserver: news of a later release", Rejected),
        ("PERMISSION_DENIED", "RBAC: access denied", OutcomeUnknown),
        ("UNAUTHENTICATED", "Jwt is missing", OutcomeUnknown),
        ("UNAUTHENTICATED", "invalid auth token, says the proxy", OutcomeUnknown),
        ("NOT_FOUND", "no such route", OutcomeUnknown),
        ("INVALID_ARGUMENT", "permission denied", OutcomeUnknown),
        ("UNAVAILABLE", "no leader in the load balancer's pool", OutcomeUnknown),
        ("UNAUTHENTICATED", "call host does not match SSL server name", BadCredentials),
        ("UNIMPLEMENTED", "unknown service etcdserverpb.KV", Unavailable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: tcp handshaker "
         "shutdown", Unavailable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect "
         "to remote host: connect() timed out", Unavailable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: connection "
         "attempt timed out before receiving SETTINGS frame", Unavailable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect "
         "to remote host: Connection refused", Unavailable),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls handshake "
         "failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:10000412:SSL routines:OPENSSL_internal:"
         "SSLV3_ALERT_BAD_CERTIFICATE: OK", BadCredentials),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:1: Unwrap failed "
         "(TSI_DATA_CORRUPTED)", BadCredentials),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: something else entirely", Unavailable),
    ],
)  # fmt: skip
def test_what_a_failure_means_for_a_write(code: str, details: str, write: type[StoreError]) -> None:
    """Hazard: timeouts, UNAVAILABLE, CANCELLED, INTERNAL, UNKNOWN on a write are outcome unknown; so is news."""
    assert diagnose(code, details, 1.0).meaning(write=True) is write


def test_a_read_that_may_or_may_not_have_happened_did_nothing() -> None:
    """There is nothing to be in doubt about."""
    diagnosis = diagnose("DEADLINE_EXCEEDED", "", 1.0)
    assert diagnosis.meaning(write=False) is Unavailable
    assert diagnosis.finding == "no answer within 1.0 s"


@pytest.mark.parametrize(
    ("code", "details", "elsewhere"),
    [
        ("UNAVAILABLE", "etcdserver: no leader", True),
        ("UNAVAILABLE", "Socket closed", True),
        ("DEADLINE_EXCEEDED", "", True),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: CERTIFICATE_VERIFY_FAILED: x", True),
        ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password", False),
        ("PERMISSION_DENIED", "etcdserver: permission denied", False),
        ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted", False),
        ("UNKNOWN", "rpc error: code = PermissionDenied desc = etcdserver: permission denied", False),
        ("PERMISSION_DENIED", "permission denied", True),
        ("UNAUTHENTICATED", "call host does not match SSL server name", True),
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (12000270 vs. 4194304)", False),
    ],
)
def test_only_what_an_endpoint_is_to_blame_for_is_tried_at_another(code: str, details: str, elsewhere: bool) -> None:
    """A wrong password is wrong everywhere; a wrong certificate may be one server's."""
    assert diagnose(code, details, 1.0).may_be_better_elsewhere is elsewhere


@pytest.mark.parametrize(
    "details",
    [
        "all SubConns are in TransientFailure",
        "last connection error: write tcp 127.0.0.1:2->127.0.0.1:1: write: broken pipe",
        'connection error: desc = "error reading server preface: connection reset by peer"',
        'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"',
    ],
)
def test_a_proxy_that_has_no_etcd_is_not_taken_for_one_that_is_away(details: str) -> None:
    diagnosis = diagnose("UNAVAILABLE", details, 1.0)
    assert diagnosis.connected
    assert diagnosis.finding.startswith("it is a proxy, and can't reach the etcd behind it")


def test_a_write_goes_elsewhere_only_when_it_certainly_was_not_done() -> None:
    """Rule 1: never silently retried."""
    assert diagnose("UNAVAILABLE", "etcdserver: no leader", 1.0).certainly_not_done
    assert diagnose("UNAVAILABLE", "failed to connect to all addresses; x", 1.0).certainly_not_done
    assert not diagnose("UNAVAILABLE", "Socket closed", 1.0).certainly_not_done
    assert not diagnose("DEADLINE_EXCEEDED", "", 1.0).certainly_not_done


def test_an_unknown_outcome_says_so() -> None:
    """The message is for an operator."""
    from consistency.etcd.errors import Failed

    error = Failed(diagnose("DEADLINE_EXCEEDED", "", 0.5)).error("commit at http://a:1", write=True)
    assert str(error) == "commit at http://a:1: no answer within 0.5 s; it may or may not have happened"


@pytest.mark.parametrize(
    ("reason", "created", "error"),
    [
        ("", True, Denied),
        ("rpc error: code = PermissionDenied desc = etcdserver: permission denied", True, Denied),
        ("etcdserver: permission denied", False, Denied),
        ("etcdserver: no leader", False, Unavailable),
        ("", False, Unavailable),
    ],
)
def test_what_the_end_of_a_watch_means(reason: str, created: bool, error: type[StoreError]) -> None:
    """Hazard: one refused for permissions is created and canceled, and most releases give no reason."""
    assert diagnose_canceled(reason, created=created).meaning(write=False) is error
