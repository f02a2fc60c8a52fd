"""One of everything the protocol can report, and what it must move. Used by all tests of the metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from consistency.core.events import (
    Acknowledged,
    AuditFound,
    BatchAnswered,
    ChangesTold,
    EndpointDown,
    EndpointUp,
    Event,
    Evicted,
    Guarded,
    HistoryTrimmed,
    Invalidated,
    Joined,
    JoinFailed,
    Left,
    PastRead,
    PolicyPut,
    ReadServed,
    ScopeReset,
    StoreCalled,
    TimeWentBackwards,
    WatchEnded,
    WatchStarted,
    WorkerFailed,
)
from consistency.core.model import NOBODY, Departure, Member, Source, Status
from metrics import Instruments

Moved = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Samples, by name and labels, and by how much they have to grow."""


def moved(name: str, by: float = 1.0, **labels: str) -> Moved:
    """One sample that has to grow."""
    return {(name, tuple(sorted(labels.items()))): by}


EVENTS: list[tuple[Event, Moved]] = [
    *[
        (ReadServed(source), moved("config_cache_reads_total", source=source.value.lower()))
        for source in Source
        if source is not Source.BYPASS
    ],
    (
        ReadServed(Source.BYPASS, "asked"),
        moved("config_cache_reads_total", source="bypass") | moved("config_cache_bypasses_total", reason="asked"),
    ),
    (
        ReadServed(Source.BYPASS, "not a member"),
        moved("config_cache_reads_total", source="bypass")
        | moved("config_cache_bypasses_total", reason="not a member"),
    ),
    (Invalidated("version", 3), moved("config_cache_invalidations_total", 3, cause="version")),
    (AuditFound(2), moved("config_audit_documents_total", 2)),
    (
        ChangesTold(3, 0.25),
        moved("config_changes_told_total", 3)
        | moved("config_change_lag_seconds_count", 1)
        | moved("config_change_lag_seconds_sum", 0.25),
    ),
    (ChangesTold(3, None), moved("config_changes_told_total", 3)),
    (ScopeReset("everything"), moved("config_change_resets_total", 1, cause="everything")),
    (PastRead(7), moved("config_change_past_versions_total", 7)),
    (HistoryTrimmed(9), moved("config_history_records_trimmed_total", 9)),
    (Acknowledged(2, 2, complete=True), moved("config_sync_writes_total", outcome="acknowledged")),
    (Acknowledged(1, 2, complete=False), moved("config_sync_writes_total", outcome="waited out")),
    (PolicyPut(9, NOBODY), moved("config_policies_total")),
    (Guarded("acknowledged"), moved("config_guarded_writes_total", outcome="acknowledged")),
    (Guarded("waited out"), moved("config_guarded_writes_total", outcome="waited out")),
    (Guarded("given up"), moved("config_guarded_writes_total", outcome="given up")),
    (Evicted(2), moved("config_cache_evictions_total", 2)),
    (
        BatchAnswered(wants=3, readers=5, proved=True),
        moved("config_cache_proofs_total", outcome="proved")
        | moved("config_cache_batch_keys_count")
        | moved("config_cache_batch_keys_sum", 3)
        | moved("config_cache_batch_readers_count")
        | moved("config_cache_batch_readers_sum", 5),
    ),
    (
        BatchAnswered(wants=0, readers=0, proved=False),
        moved("config_cache_proofs_total", outcome="unproved")
        | moved("config_cache_batch_keys_count")
        | moved("config_cache_batch_readers_count"),
    ),
    (WatchStarted(7, history_kept=True), moved("config_watch_starts_total", history="kept")),
    (WatchStarted(7, history_kept=False), moved("config_watch_starts_total", history="dropped")),
    (WatchEnded("compacted", "at 12"), moved("config_watch_ends_total", cause="compacted")),
    (TimeWentBackwards("revision 3 after 9"), moved("config_time_went_backwards_total")),
    (Joined(4), moved("config_member_joins_total")),
    (Left(4, "expired"), moved("config_member_leaves_total", cause="expired")),
    (JoinFailed("full"), moved("config_member_join_failures_total", cause="full")),
    (WorkerFailed("prover", "KeyError: 'x'"), moved("config_worker_failures_total", worker="prover")),
    (EndpointUp("http://a:2379"), moved("config_etcd_endpoint_up", endpoint="http://a:2379")),
    (
        EndpointDown("http://b:2379", "connection refused"),
        moved("config_etcd_endpoint_up", 0, endpoint="http://b:2379"),
    ),
    (
        StoreCalled("read", "unavailable", 0.5),
        moved("config_etcd_requests_total", kind="read", outcome="unavailable")
        | moved("config_etcd_request_duration_seconds_count", kind="read")
        | moved("config_etcd_request_duration_seconds_sum", 0.5, kind="read"),
    ),
]

BOUND = 0.5
"""B, seconds: not the default, so that it can only come from here."""

EXPECTED = 4

STATUS = Status(
    why_not_ready="",
    slot=7,
    horizon=42,
    proof_age=0.25,
    fresh=True,
    entries=3,
    bytes=1024,
    watch_up=True,
    members=(Member(7, 1, 2, "{}"), Member(8, 2, 3, "{}")),
    departed=tuple(Departure(lease, 0, how, 5.0, "{}") for lease, how in enumerate(("lost", "left", "lost"))),
)


def exercised() -> tuple[Instruments, CollectorRegistry]:
    """Instruments to which everything has happened once."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    instruments.track(lambda: STATUS, BOUND, EXPECTED)
    for event, _ in EVENTS:
        instruments.observe(event)
    instruments.http("GET", "/config/<key>", 200, 0.001)
    return instruments, registry
