"""The state of the instance as gauges, read when Prometheus asks and at no other time.

All gauges of one scrape come from one `Status`, so that they agree with each other. Owns no state of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consistency.core.model import Status

DEPARTURES = ("left", "lost", "back")


class StatusCollector(Collector):
    """Turns `status()` into gauges. `status` must neither block nor do I/O.

    staleness_bound: B, seconds. expected: instances that should run, 0 = not said.
    """

    def __init__(self, status: Callable[[], Status], staleness_bound: float, expected: int) -> None:
        self._status = status
        self._staleness_bound = staleness_bound
        self._expected = expected

    def describe(self) -> list[Metric]:
        """Nothing: with it, registering need not ask for a status before there is one."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges, as of now. The age of the last proof is absent until there is a proof."""
        now = self._status()
        yield _gauge("config_ready", "Whether reads and writes can be expected to work.", not now.why_not_ready)
        yield _gauge("config_cache_fresh", "Whether reads may be served from memory without asking etcd.", now.fresh)
        yield _gauge("config_cache_entries", "Entries in memory, absent keys included.", now.entries)
        yield _gauge("config_cache_bytes", "Bytes of keys and values in memory.", now.bytes)
        yield _gauge("config_cache_horizon_revision", "Revision up to which every change is applied.", now.horizon)
        if now.proof_age is not None:
            yield _gauge(
                "config_cache_proof_age_seconds",
                "Time since the cache was last proved fresh, which bounds the staleness of what is in memory.",
                now.proof_age,
            )
        yield _gauge(
            "config_cache_staleness_bound_seconds",
            "Age of the last proof from which on nothing is served from memory: CACHE_STALENESS_BOUND.",
            self._staleness_bound,
        )
        yield _gauge(
            "config_loop_lag_seconds",
            "Time by which the event loop was late at worst, within the last 15 to 30 s.",
            now.loop_lag,
        )
        yield _gauge("config_watch_up", "Whether the watch on the version key is up.", now.watch_up)
        yield _gauge("config_members", "Instances that hold a slot, as this instance sees them.", len(now.members))
        yield from self._fleet(now)
        yield _gauge(
            "config_member_slot",
            "Slot held by this instance, or -1 when it serves uncached.",
            -1 if now.slot is None else now.slot,
        )

    def _fleet(self, now: Status) -> Iterator[Metric]:
        yield _gauge("config_fleet_instances", "Instances of the fleet, as this instance sees them.", len(now.present))
        yield _gauge(
            "config_fleet_expected_instances", "EXPECTED_INSTANCES, or 0 where nobody has said.", self._expected
        )
        gone = GaugeMetricFamily(
            "config_fleet_departed",
            "Instances that have gone within the last hour, by how, as this instance sees them.",
            labels=["how"],
        )
        hows = Counter(departure.how for departure in now.departed)
        for how in DEPARTURES:
            gone.add_metric([how], float(hows[how]))
        yield gone


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
