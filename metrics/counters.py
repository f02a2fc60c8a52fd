"""Counts what the protocol reports. Owns one instrument per fact, and the match that closes over every event.

The causes known beforehand get their series at once: a counter that appears only with its first failure hides that
failure from `rate()`. Labels are never taken from a client: no key, no token, no address.
The endpoints of etcd are those of the settings.
"""

from __future__ import annotations

from typing import assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
from consistency.core.model import Source
from metrics.tally import Tallies

BYPASS_REASONS = ("asked", "not a member")
INVALIDATION_CAUSES = ("version", "everything", "own write", "unknown outcome", "gap", "left", "history", "age")
WATCH_END_CAUSES = ("compacted", "denied", "unavailable", "gap", "stuck", "history", "closed")
LEAVE_CAUSES = ("expired", "taken", "history", "closed")
JOIN_FAILURE_CAUSES = ("full", "taken", "unavailable")
RESET_CAUSES = ("asked", "everything", "compacted", "too much", "history")

WORKERS = (
    "version-watch",
    "membership",
    "prover",
    "patrol",
    "acknowledger",
    "auditor",
    "recorder",
    "trimmer",
    "policy",
    "intents",
    "feed",
    "loop-lag",
    "endpoints",
    "embedded-etcd",
    "sampler",
    "memory",
    "files",
    "watchdog",
)
"""Tasks that run all the time, and start over."""

ERRANDS = (
    "read-batch",
    "group-commit",
    "write",
    "feed-read",
    "fleet-id",
    "authenticate",
    "hindsight",
    "see-off",
    "earlier-server",
)
"""Tasks that do one thing for their callers."""

# Failures of RPCs of which one is news: the others are worth a look only when there are many.
CALLS_THAT_MAY_FAIL = (("commit", "outcome_unknown"), ("commit", "no_space"), ("grant", "no_space"))

# An answer takes 0.3 ms from an idle etcd on the same machine; a deadline is 3 s by default.
LATENCY_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_BUCKETS = (0, 1, 2, 4, 8, 16, 32, 64, 128)


class EventCounters:
    """The counters and histograms that events move. Safe to call from any thread; never blocks or raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        sources = {source: source.value.lower() for source in Source}
        reads = Tallies(
            "config_cache_reads", "Reads answered, by where the value came from.", "source", sources.values()
        )
        registry.register(reads)
        self._reads = {source: reads[value] for source, value in sources.items()}
        self._bypasses = Tallies(
            "config_cache_bypasses", "Reads for which the cache was not consulted, by reason.", "reason", BYPASS_REASONS
        )
        registry.register(self._bypasses)
        self._invalidations = self._counter(
            "config_cache_invalidations",
            "Entries that lost their right to be served until loaded or validated again, by cause.",
            "cause",
            INVALIDATION_CAUSES,
        )
        self._evictions = self._counter("config_cache_evictions", "Entries that left memory to keep its bounds.")
        self._proofs = self._counter(
            "config_cache_proofs",
            "Read transactions by whether they proved that the cache was fresh.",
            "outcome",
            ("proved", "unproved"),
        )
        self._batch_keys = self._sizes("config_cache_batch_keys", "Keys asked for by one read transaction.")
        self._batch_readers = self._sizes("config_cache_batch_readers", "Readers that shared one read transaction.")
        self._define_watch()
        self._define_membership()
        self._define_store()
        self._define_feed()
        self._audited = self._counter(
            "config_audit_documents", "Documents found that were written or deleted without a version."
        )
        self._trimmed = self._counter(
            "config_history_records_trimmed", "Records of changes removed, since each key has newer ones that are kept."
        )
        self._policies = self._counter("config_policies", "Policies that were put in force in place of others.")
        self._sync_writes = self._counter(
            "config_sync_writes",
            "Synchronous writes, by whether all members acknowledged or the bound was waited out.",
            "outcome",
            ("acknowledged", "waited out"),
        )
        self._guarded_writes = self._counter(
            "config_guarded_writes",
            "Guarded writes, by whether all members held the keys, the bound was waited out, or they were given up.",
            "outcome",
            ("acknowledged", "waited out", "given up"),
        )
        self._worker_failures = self._counter(
            "config_worker_failures",
            "Times a background task met an unexpected error; one that runs all the time started over.",
            "worker",
            (*WORKERS, *ERRANDS),
        )

    def _define_watch(self) -> None:
        self._watch_starts = self._counter(
            "config_watch_starts",
            "Times the watch came up, by whether the cached entries could be kept.",
            "history",
            ("kept", "dropped"),
        )
        self._watch_ends = self._counter(
            "config_watch_ends", "Times the watch went down to be started anew, by cause.", "cause", WATCH_END_CAUSES
        )
        self._backwards = self._counter(
            "config_time_went_backwards", "Times etcd answered from another history, so that everything was dropped."
        )

    def _define_membership(self) -> None:
        self._joins = self._counter("config_member_joins", "Times this instance took a slot.")
        self._leaves = self._counter(
            "config_member_leaves", "Times this instance lost or gave up its slot, by cause.", "cause", LEAVE_CAUSES
        )
        self._join_failures = self._counter(
            "config_member_join_failures", "Times no slot could be had, by cause.", "cause", JOIN_FAILURE_CAUSES
        )

    def _define_store(self) -> None:
        self._calls = Counter(
            "config_etcd_requests",
            "RPCs sent to etcd, by kind and outcome.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        for kind, outcome in CALLS_THAT_MAY_FAIL:
            self._calls.labels(kind, outcome)
        self._call_seconds = Histogram(
            "config_etcd_request_duration_seconds",
            "Time from sending an RPC to its answer or failure, by kind.",
            ["kind"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )

        self._endpoint_up = Gauge(
            "config_etcd_endpoint_up",
            "Whether the last call to this endpoint of etcd was answered by etcd.",
            ["endpoint"],
            registry=self._registry,
        )

    def _define_feed(self) -> None:
        self._told = self._counter("config_changes_told", "Keys of which clients were told that they changed.")
        self._change_lag = Histogram(
            "config_change_lag_seconds",
            "Time from applying a change here to telling a client of it.",
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._resets = self._counter(
            "config_change_resets", "Times a client was told all of its scope anew, by cause.", "cause", RESET_CAUSES
        )
        self._past_versions = self._counter(
            "config_change_past_versions", "Versions read of the past for clients that had been away."
        )

    def _counter(self, name: str, text: str, label: str | None = None, known: tuple[str, ...] = ()) -> Counter:
        counter = Counter(name, text, [label] if label else [], registry=self._registry)
        for value in known:
            counter.labels(value)
        return counter

    def _sizes(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=BATCH_BUCKETS, registry=self._registry)

    def reads(self) -> dict[str, int]:
        """Reads answered, by source."""
        return {source.value.lower(): tally.value() for source, tally in self._reads.items()}

    def observe(self, event: Event) -> None:
        """Counts one event. ReadServed comes first: it is the one that happens thousands of times a second."""
        match event:
            case ReadServed():
                self._reads[event.source].add()
                if event.reason:
                    self._bypasses[event.reason].add()
            case StoreCalled():
                self._calls.labels(event.kind, event.outcome).inc()
                self._call_seconds.labels(event.kind).observe(event.seconds)
            case BatchAnswered():
                self._proofs.labels("proved" if event.proved else "unproved").inc()
                self._batch_keys.observe(event.wants)
                self._batch_readers.observe(event.readers)
            case Invalidated():
                self._invalidations.labels(event.cause).inc(event.entries)
            case Evicted():
                self._evictions.inc(event.entries)
            case WatchStarted():
                self._watch_starts.labels("kept" if event.history_kept else "dropped").inc()
            case WatchEnded():
                self._watch_ends.labels(event.cause).inc()
            case TimeWentBackwards():
                self._backwards.inc()
            case Joined():
                self._joins.inc()
            case Left():
                self._leaves.labels(event.cause).inc()
            case JoinFailed():
                self._join_failures.labels(event.cause).inc()
            case AuditFound():
                self._audited.inc(event.documents)
            case Acknowledged():
                self._sync_writes.labels("acknowledged" if event.complete else "waited out").inc()
            case Guarded():
                self._guarded_writes.labels(event.outcome).inc()
            case PolicyPut():
                self._policies.inc()
            case ChangesTold():
                self._told.inc(event.keys)
                if event.lag is not None:
                    self._change_lag.observe(event.lag)
            case ScopeReset():
                self._resets.labels(event.cause).inc()
            case PastRead():
                self._past_versions.inc(event.versions)
            case HistoryTrimmed():
                self._trimmed.inc(event.records)
            case EndpointUp():
                self._endpoint_up.labels(event.endpoint).set(1)
            case EndpointDown():
                self._endpoint_up.labels(event.endpoint).set(0)
            case WorkerFailed():
                self._worker_failures.labels(event.name).inc()
            case _:
                assert_never(event)
