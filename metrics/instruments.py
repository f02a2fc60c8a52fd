"""The face of this package. Owns a registry and what is registered in it; starts no thread and no server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from consistency.core.events import Event
from consistency.core.model import Status
from metrics.build import version
from metrics.counters import EventCounters
from metrics.http import HttpCounters
from metrics.status import StatusCollector

ENCODINGS = ("json", "stream")
"""In which changes are told."""

MISSED = ("schema", "reason")
"""What a write may lack that the policy asks for."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A few counts since the start, for people.

    reads: answered, by source. requests: for documents. errors: those of them that were answered with 5xx.
    """

    reads: Mapping[str, int]
    requests: int
    errors: int


class Instruments:
    """One instance's metrics. `observe` is the protocol's observer; all methods may be called from any thread."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # The birthday of each series, as a series of its own: doubles the exposition and says nothing to Prometheus.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the client leaves it without annotations
        self._registry = CollectorRegistry() if registry is None else registry
        self._events = EventCounters(self._registry)
        self._http = HttpCounters()
        self._registry.register(self._http)
        self._left_out = Counter(
            "config_listing_keys_left_out",
            "Keys that listings left out, since no path can name them.",
            registry=self._registry,
        )
        self._waiters = Gauge(
            "config_change_waiters",
            "Clients that wait for changes, by encoding.",
            ["encoding"],
            registry=self._registry,
        )
        for encoding in ENCODINGS:
            self._waiters.labels(encoding)
        self._refused_by_policy = Counter(
            "config_policy_refusals",
            "Writes that the policy refused, by what it missed: a document as a schema wants it, or a reason.",
            ["missed"],
            registry=self._registry,
        )
        for missed in MISSED:
            self._refused_by_policy.labels(missed)
        self._tokens = Gauge(
            "config_api_tokens", "API tokens that are let in; 0 where everybody is.", registry=self._registry
        )
        self._tokens_file = Gauge(
            "config_api_tokens_file_unusable",
            "Whether API_TOKENS_FILE can't be used, so that the tokens are those from before.",
            registry=self._registry,
        )
        self._certificate = Gauge(
            "config_tls_certificate_expires_timestamp_seconds",
            "Unix time at which the certificate that clients are shown ends; 0 where plain HTTP is spoken.",
            registry=self._registry,
        )
        self._certificate_files = Gauge(
            "config_tls_files_unusable",
            "Whether the files of TLS_CERT, TLS_KEY and TLS_CLIENT_CA can't be used, so that clients are shown what "
            "they were shown before.",
            registry=self._registry,
        )
        self._describe_process()

    def _describe_process(self) -> None:
        self._embedded_ends = Counter(
            "config_embedded_etcd_ends",
            "Times the embedded etcd that this instance started ended by itself, and was started again.",
            registry=self._registry,
        )
        build = Gauge("config_build_info", "The running build; always 1.", ["version"], registry=self._registry)
        build.labels(version()).set(1)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def observe(self, event: Event) -> None:
        """Counts one event of the protocol."""
        self._events.observe(event)

    def embedded_etcd_ended(self) -> None:
        """Counts one end of the etcd that belongs to this instance."""
        self._embedded_ends.inc()

    def http(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one HTTP request that took `seconds`. `route` is the template it matched, never the path."""
        self._http.observe(method, route, status, seconds)

    def left_out(self, keys: int) -> None:
        """Counts keys that a listing could not show."""
        self._left_out.inc(keys)

    def waiters(self, encoding: str, change: int) -> None:
        """Counts clients that begin, or end, to wait for changes."""
        self._waiters.labels(encoding).inc(change)

    def refused_by_policy(self, missed: str) -> None:
        """Counts a write that was refused; missed: one of MISSED."""
        self._refused_by_policy.labels(missed).inc()

    def track(self, status: Callable[[], Status], staleness_bound: float, expected: int = 0) -> None:
        """Reads the gauges from `status` at every scrape. To be called once.

        staleness_bound: B, seconds. expected: instances that should run, 0 = not said.
        """
        self._registry.register(StatusCollector(status, staleness_bound, expected))

    def track_tokens(self, known: Callable[[], int], unusable: Callable[[], bool]) -> None:
        """Reads at every scrape how many tokens are let in, and whether their file can't be used. To be called once."""
        self._tokens.set_function(known)
        self._tokens_file.set_function(unusable)

    def track_certificate(self, expires: Callable[[], float], unusable: Callable[[], bool]) -> None:
        """Reads at every scrape when the certificate ends, and whether its files can't be used. To be called once."""
        self._certificate.set_function(expires)
        self._certificate_files.set_function(unusable)

    def totals(self) -> Totals:
        """The counts, as of now."""
        requests, errors = self._http.totals()
        return Totals(self._events.reads(), requests, errors)

    def exposition(self) -> tuple[bytes, str]:
        """Everything in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
