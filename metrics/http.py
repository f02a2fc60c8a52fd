"""Counts HTTP requests. Owns the labels' bounds: a client can't make a series of its own.

A route is the template (`/config/<key>`), never the path. Methods outside of HTTP's own are counted as "other".
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from metrics.counters import LATENCY_BUCKETS

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})


class HttpCounters:
    """Requests by method, route template and status; latency by method and route template."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "config_http_requests",
            "HTTP requests answered, by method, route template and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "config_http_request_duration_seconds",
            "Time from receiving an HTTP request to answering it, by method and route template.",
            ["method", "route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        # The children of what was seen before: `labels()` would cost a hit more than the counting does.
        # Two threads may fill one place at once, with the same children.
        self._seen: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        if method not in METHODS:
            method = "other"
        seen = self._seen.get((method, route, status)) or self._resolve(method, route, status)
        seen[0].inc()
        seen[1].observe(seconds)

    def _resolve(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        children = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
        self._seen[method, route, status] = children
        return children
