"""How long a read and a write take, against what the settings leave them; and what can be said of clocks."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from statistics import median

from consistency.core.store import StoreError
from consistency.loop import run
from service.doctor.endpoints import Look
from service.doctor.report import Finding, ok, warning, wrong
from service.doctor.rights import LEASE, Etcd
from service.settings.model import Settings

SAMPLES = 20
MEASURED_WITHIN = 5.0
"""Seconds after which no further sample is begun."""

APART = 5.0
"""Seconds that wall clocks may differ without being mentioned."""


def latencies(etcd: Etcd, settings: Settings) -> list[Finding]:
    """Median and worst of some reads and writes, one at a time."""
    return [
        _reads(lambda: run(etcd.probe.read(etcd.timeout)), settings.cache_staleness_bound),
        _writes(etcd, settings.etcd_timeout),
    ]


def _reads(read: Callable[[], object], bound: float) -> Finding:
    try:
        taken = _measure(read)
    except StoreError as error:
        return wrong("latency", f"a read failed: {error}", "See the findings above.")
    said = f"read: {_words(taken)}"
    # An idle instance proves its freshness every B/2: a read that takes longer makes hits wait.
    if median(taken) > bound / 10 or max(taken) > bound / 2:
        return warning(
            "latency",
            f"{said}: slow for CACHE_STALENESS_BOUND={bound:g} (median up to {bound * 100:.0f} ms, worst "
            f"{bound * 500:.0f} ms)",
            "Bring the service nearer to etcd, look at etcd's disk and load, or raise CACHE_STALENESS_BOUND.",
        )
    return ok("latency", said)


def _writes(etcd: Etcd, limit: float) -> Finding:
    nonce = secrets.token_hex(8)
    try:
        lease = run(etcd.store.grant(LEASE, timeout=etcd.timeout)).id
        try:
            taken = _measure(lambda: run(etcd.probe.write(nonce, lease, etcd.timeout)))
        finally:
            with contextlib.suppress(StoreError):  # then it ends by itself; either way it takes the key along
                run(etcd.store.revoke(lease, timeout=etcd.timeout))
    except StoreError as error:
        return wrong("latency", f"a write failed: {error}", "See the findings above, and etcd's log.")
    said = f"write: {_words(taken)}"
    if median(taken) > limit / 10 or max(taken) > limit / 2:
        return warning(
            "latency",
            f"{said}: slow for ETCD_TIMEOUT={limit:g} (median up to {limit * 100:.0f} ms, worst {limit * 500:.0f} ms)",
            "Look at etcd's disk (etcd_disk_wal_fsync_duration_seconds) and network, or raise ETCD_TIMEOUT.",
        )
    return ok("latency", said)


def _measure(call: Callable[[], object]) -> list[float]:
    """Seconds of each of SAMPLES calls, or of fewer if time runs out. Raises StoreError."""
    call()  # connects
    taken: list[float] = []
    end = time.monotonic() + MEASURED_WITHIN
    while len(taken) < SAMPLES and (not taken or time.monotonic() < end):
        started = time.monotonic()
        call()
        taken.append(time.monotonic() - started)
    return taken


def _words(taken: Sequence[float]) -> str:
    return f"median {median(taken) * 1000:.1f} ms, worst {max(taken) * 1000:.1f} ms of {len(taken)}"


def clocks(looks: Sequence[Look]) -> Finding:
    """What can be said. Freshness rests on the rate of this machine's clock, which can't be measured in a moment."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        own = "freshness is counted by CLOCK_BOOTTIME, which goes on while the machine is suspended"
    else:
        own = "freshness is counted by the monotonic clock: this system has no CLOCK_BOOTTIME"
    apart = {look.endpoint: look.seen.ahead for look in looks if look.seen.ahead is not None}
    if not apart:
        return ok("clock", f"{own}; no endpoint shows its wall clock")
    endpoint, worst = max(apart.items(), key=lambda each: abs(each[1]))
    if abs(worst) > APART:
        return warning(
            "clock",
            f"{own}; but the wall clock of {endpoint} is {abs(worst):.0f} s {'ahead' if worst > 0 else 'behind'}",
            "Synchronise the clocks (chrony, systemd-timesyncd): answers stay right without, but certificates and the "
            "times in logs go by wall clocks.",
        )
    return ok("clock", f"{own}; wall clocks here and at etcd agree to within {APART:g} s")
