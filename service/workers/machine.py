"""How many workers there are, and on which ports: what WORKERS, WORKER_PORT, the processors and the memory allow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from service.memory.capacity import capacity
from service.memory.limit import most_processors
from service.settings.model import AUTO, MOST_WORKERS, Settings, SettingsError
from service.workers.place import Place

_LARGEST_PORT = 65535

EACH_TAKES = 1.25
"""Processors that a worker keeps busy at most. Measured: 1.25, for 38,000 hits a second. The loop's thread takes one,
and the server's a quarter, in which it needs the interpreter: with more workers than there is time for, one of the two
holds it while it waits for a processor, the other waits for both, and the p99 at full load is ten times as long."""


def processors(root: Path = Path("/")) -> int:
    """Those that this process may use, by its affinity and its control groups' quotas. root: where these are told."""
    mine = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(mine, most_processors(root))


def with_workers(settings: Settings, limit: int, there_are: int, *, embedded: bool) -> Settings:
    """The same, with WORKERS as a number. limit: bytes that all of them may take. there_are: processors.

    `auto` is as many as these keep busy, as far as there is memory for them. Raises SettingsError for what can't be.
    """
    chosen = settings
    if settings.workers == AUTO:
        chosen = settings.model_copy(update={"workers": _for(settings, limit, there_are, embedded=embedded)})
    if chosen.workers > 1:
        if sys.platform != "linux":
            raise SettingsError(
                f"WORKERS is {chosen.workers}, but only Linux shares a port fairly among processes. Expected 1 on this "
                "system: leave WORKERS unset, and start several instances, each with a port of its own"
            )
        ports(chosen)
    return chosen


def as_worker(settings: Settings, place: Place) -> Settings:
    """The same, as one of several takes them: the platform's number of the machine is one for each of its workers."""
    index = settings.cf_instance_index
    return settings.model_copy(
        update={
            "workers": place.of,
            "drain_wait": 0.0,  # that is waited for once, for all of them
            "cf_instance_index": None if index is None else index * place.of + place.number - 1,
        }
    )


def doubts(settings: Settings, there_are: int) -> str:
    """Why there may be too many workers for so many processors; empty if there are not."""
    useful = max(1, int(there_are / EACH_TAKES))
    if settings.workers <= useful:
        return ""
    return (
        f"WORKERS is {settings.workers}, and this process may use {there_are} processors, which {useful} keep busy: "
        "under full load more than that answer late; see docs/workers.md"
    )


def _for(settings: Settings, limit: int, there_are: int, *, embedded: bool) -> int:
    workers = min(int(there_are / EACH_TAKES), MOST_WORKERS) if sys.platform == "linux" else 1
    while workers > 1:
        try:
            capacity(limit, settings.model_copy(update={"workers": workers}), embedded=embedded)
        except SettingsError:
            workers -= 1
        else:
            break
    return max(1, workers)


def ports(settings: Settings) -> range:
    """Each worker's own, in their order. Raises SettingsError if there are none like that."""
    first = settings.worker_port or settings.port + 1
    found = range(first, first + settings.workers)
    said = "WORKER_PORT" if settings.worker_port else "PORT + 1"
    if found[-1] > _LARGEST_PORT:
        raise SettingsError(
            f"WORKERS is {settings.workers}, and {said} is {first}: the last worker's own port would be {found[-1]}, "
            f"and {_LARGEST_PORT} is the last there is. Expected a lower one, for example WORKER_PORT=18081"
        )
    if settings.port in found:
        raise SettingsError(
            f"WORKERS is {settings.workers}, and WORKER_PORT is {first}: the workers' own ports, {found[0]} to "
            f"{found[-1]}, have PORT among them, {settings.port}. Expected others, for example "
            f"WORKER_PORT={settings.port + 1}"
        )
    return found
