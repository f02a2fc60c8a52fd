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


def with_workers(settings: Settings, limit: int, *, embedded: bool, root: Path = Path("/")) -> Settings:
    """The same, with WORKERS as a number. limit: bytes that all of them may take. root: where /proc and /sys are.

    `auto` is a worker for each processor that this process may use (its affinity, its control group's quota), as far as
    there is memory for them. Raises SettingsError for what can't be.
    """
    chosen = settings
    if settings.workers == AUTO:
        chosen = settings.model_copy(update={"workers": _for(settings, limit, embedded=embedded, root=root)})
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


def _for(settings: Settings, limit: int, *, embedded: bool, root: Path) -> int:
    if sys.platform != "linux":
        return 1
    workers = min(len(os.sched_getaffinity(0)), most_processors(root), MOST_WORKERS)
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
