"""How much may be held at once, of whatever grows by what clients do: one sum, derived from one number.

An idle instance takes BASE of the memory limit (with an embedded etcd EMBEDDED more). The spare rest is divided:

| part | for | of 256 MB | one costs |
|---|---|---|---|
| 30 % | the cache, at most CACHE_MAX_BYTES | 53 MB | what it weighs (`consistency.core.known`) |
| 25 % | connections, at most 12,000 | 44 MB: 1,126 | CONNECTION: twice a header of 16 kB, or one small answer |
| 25 % | bodies: received, checked, written | 44 MB: 4 of 1 MiB | its length, a large one COPIES times |
| 15 % | large answers that clients have not taken yet | 26 MB: 13 of 1 MiB | OF_ANSWER times its length |
| 5 % | what the allocator can't give back | 9 MB | |

Pure. Limits on single things (headers, bodies, depth, pages) are where the thing is; docs/limits.md lists all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.http.requests import COPIES, FOR_SMALL
from service.settings.model import Settings, SettingsError

MEBIBYTE = 1024**2
BASE = 80 * MEBIBYTE
EMBEDDED = 64 * MEBIBYTE
SUPERVISOR = 48 * MEBIBYTE
"""Where there are workers: what starts them. The rest is divided among them evenly."""

CONNECTION = 40 * 1024
"""Bytes. Measured: 37 kB with 15 kB of a header that never ends."""

MOST_CONNECTIONS = 12_000
LEAST_CONNECTIONS = 64

WAITING = 5 / 6
"""Part of the connections that may be those of clients that wait for changes: they stay for minutes."""

OF_ANSWER = 2
"""The document, and what is on its way through the server and the kernel."""

_FOR_LARGE = 1 - 1 / FOR_SMALL
_CACHE, _CONNECTIONS, _BODIES, _ANSWERS = 0.30, 0.25, 0.25, 0.15


@dataclass(frozen=True, slots=True)
class Capacity:
    """connections: open at once. bodies, answers that are large, cache: bytes."""

    connections: int
    bodies: int
    answers: int
    cache: int

    @property
    def waiters(self) -> int:
        """Clients that may wait for changes: the other connections are for everybody else, and for probes."""
        return int(self.connections * WAITING)


def capacity(limit: int, settings: Settings, *, embedded: bool) -> Capacity:
    """What fits into `limit` bytes; with WORKERS, into one worker's share. A CACHE_MAX_BYTES that was set is kept to.

    Raises SettingsError when not even one of the largest documents does.
    """
    spare = (limit - _for_all(settings, embedded=embedded)) // settings.workers - BASE
    largest = settings.max_value_bytes
    answers, bodies = int(spare * _ANSWERS), int(spare * _BODIES)
    connections = min(MOST_CONNECTIONS, int(spare * _CONNECTIONS) // CONNECTION)
    if connections < LEAST_CONNECTIONS or bodies * _FOR_LARGE < COPIES * largest or answers < OF_ANSWER * largest:
        raise SettingsError(_too_little(limit, settings, embedded=embedded))
    share = int(spare * _CACHE)
    chosen = "cache_max_bytes" in settings.model_fields_set
    return Capacity(
        connections, bodies, answers, settings.cache_max_bytes if chosen else min(settings.cache_max_bytes, share)
    )


def _for_all(settings: Settings, *, embedded: bool) -> int:
    return EMBEDDED * embedded + SUPERVISOR * (settings.workers > 1)


def _too_little(limit: int, settings: Settings, *, embedded: bool) -> str:
    spare = max(
        CONNECTION * LEAST_CONNECTIONS / _CONNECTIONS,
        COPIES * settings.max_value_bytes / _BODIES / _FOR_LARGE,
        OF_ANSWER * settings.max_value_bytes / _ANSWERS,
    )
    least = _for_all(settings, embedded=embedded) + settings.workers * (BASE + spare)
    said = "MEMORY_LIMIT is" if settings.memory_limit else "The memory of this container or machine is"
    with_etcd = " and an embedded etcd" if embedded else ""
    workers = f" in each of WORKERS={settings.workers}" if settings.workers > 1 else ""
    fewer = f"fewer WORKERS than {settings.workers}, " if settings.workers > 1 else ""
    enough = max(256 * MEBIBYTE, -int(-least // MEBIBYTE) * MEBIBYTE)
    return (
        f"{said} {limit // MEBIBYTE} MiB, which is too little for documents of MAX_VALUE_BYTES="
        f"{settings.max_value_bytes}{with_etcd}{workers}. Expected at least {-int(-least // MEBIBYTE)} MiB, "
        f"for example MEMORY_LIMIT={enough}, or {fewer}a smaller MAX_VALUE_BYTES"
    )
