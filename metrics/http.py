"""Counts HTTP requests. Owns the labels' bounds: a client can't make a series of its own.

A route is the template (`/config/<key>`), never the path. Methods outside of HTTP's own are counted as "other".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from metrics.counters import LATENCY_BUCKETS
from metrics.tally import Timings

METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})

_BOUNDS = (*map(str, LATENCY_BUCKETS), "+Inf")


class HttpCounters(Collector):
    """Requests by method, route template and status; latency by method and route template."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, int], Timings] = {}  # set by any thread, the first one wins

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request."""
        timings = self._seen.get((method, route, status)) or self._first(method, route, status)
        timings.add(seconds)

    def _first(self, method: str, route: str, status: int) -> Timings:
        series = (method if method in METHODS else "other", route, status)
        return self._seen.setdefault(series, Timings(LATENCY_BUCKETS))

    def totals(self) -> tuple[int, int]:
        """Requests for documents answered, and how many of them with 5xx."""
        requests = errors = 0
        for (_, route, status), timings in list(self._seen.items()):
            if not route.startswith("/config"):
                continue
            count = sum(timings.read()[0])
            requests += count
            errors += count if status >= 500 else 0
        return requests, errors

    def collect(self) -> Iterator[Metric]:
        """Both families, from one reading."""
        requests = CounterMetricFamily(
            "config_http_requests",
            "HTTP requests answered, by method, route template and status.",
            labels=["method", "route", "status"],
        )
        counts: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * len(_BOUNDS))
        sums: defaultdict[tuple[str, str], float] = defaultdict(float)
        for (method, route, status), timings in list(self._seen.items()):
            buckets, total = timings.read()
            requests.add_metric([method, route, str(status)], sum(buckets))
            counts[method, route] = [a + b for a, b in zip(counts[method, route], buckets, strict=True)]
            sums[method, route] += total
        yield requests
        yield _latency(counts, sums)


def _latency(counts: dict[tuple[str, str], list[int]], sums: dict[tuple[str, str], float]) -> Metric:
    seconds = HistogramMetricFamily(
        "config_http_request_duration_seconds",
        "Time from receiving an HTTP request to answering it, by method and route template.",
        labels=["method", "route"],
    )
    for series, buckets in counts.items():
        seconds.add_metric(list(series), list(zip(_BOUNDS, accumulate(buckets), strict=True)), sums[series])
    return seconds
