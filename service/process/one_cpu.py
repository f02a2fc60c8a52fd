"""Keeps the threads that answer requests on one CPU, since only one of them can run Python at a time.

Left alone, the kernel spreads them. Then whoever lets go of the interpreter's lock wakes the next thread on another
CPU, which takes longer than most answers do, and queues behind it. On one CPU the thread that is running takes the next
request while the lock is free, and the others cost nothing until it sleeps. What runs without Python (the server's own
threads, gRPC's) stays on all CPUs.

The kernel can't move such threads out of a busy neighbour's way any more. So every few seconds this compares what
others use of each CPU, and moves all of them together. Where threads can't be bound (other systems, some sandboxes), or
where there is one CPU only, nothing is done.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from consistency.core.events import Observer
from service.process.threads import Worker

LOOK_EVERY = 5.0
"""Seconds between looks, half of it more or less: instances that share a machine must not move at the same time."""

WORTH_A_MOVE = 0.3
"""A CPU has to be used by others so much less, as a part of its time."""

Application = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Usage:
    """Clock ticks: of each CPU since the machine started, in all and busy; and of each thread at home so far."""

    total: Mapping[int, int]
    busy: Mapping[int, int]
    ours: Mapping[int, int]


def used_by_others(before: Usage, now: Usage, home: int) -> dict[int, float]:
    """Which part of the time between two looks each CPU spent on others than the threads at home."""
    ours = sum(ticks - before.ours.get(thread, 0) for thread, ticks in now.ours.items())
    parts = {}
    for cpu, total in now.total.items():
        passed = total - before.total.get(cpu, 0)
        busy = now.busy[cpu] - before.busy.get(cpu, 0) - (ours if cpu == home else 0)
        parts[cpu] = max(0.0, busy / passed) if passed > 0 else 1.0
    return parts


def better_home(home: int, used: Mapping[int, float]) -> int:
    """Where the threads should run from now on."""
    best = min(used, key=lambda cpu: used[cpu], default=home)
    return best if used.get(home, 1.0) - used.get(best, 1.0) > WORTH_A_MOVE else home


class OneCpu:
    """A context manager: within it `wrap` works. `wanted` is False: everything is left to the kernel."""

    def __init__(self, wanted: bool, observer: Observer) -> None:
        self._allowed = _allowed_cpus() if wanted else frozenset()
        self._lock = threading.Lock()  # protects the two below
        self._threads: set[int] = set()
        self._home = random.choice(sorted(self._allowed)) if self._allowed else 0
        self._before: Usage | None = None  # the worker's own
        self._here = _Here()
        self._worker = Worker("one-cpu", self._look_around, observer)

    @property
    def home(self) -> int | None:
        """The CPU of the threads that answer; None when they have none."""
        return self._home if self._allowed else None

    def __enter__(self) -> OneCpu:
        if self._allowed:
            self._worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._worker.ask_to_stop()
        self._worker.join(LOOK_EVERY)

    def wrap(self, application: Application) -> Application:
        """The same WSGI application; each thread that calls it comes home first."""
        if not self._allowed:
            return application
        here = self._here

        def at_home(environ: Any, start_response: Any) -> Any:
            if not here.at_home:
                self._bring_home()
                here.at_home = True
            return application(environ, start_response)

        return at_home

    def _bring_home(self) -> None:
        with self._lock:
            thread = threading.get_native_id()
            if _bind(thread, {self._home}):
                self._threads.add(thread)

    def _look_around(self, worker: Worker) -> None:
        worker.pause(LOOK_EVERY * random.uniform(0.5, 1.5))
        before, self._before = self._before, _usage(self._allowed, self._let_heirs_go())
        if before is not None:
            self._move_to(better_home(self._home, used_by_others(before, self._before, self._home)))

    def _let_heirs_go(self) -> frozenset[int]:
        """A thread that one of ours has started is bound as its parent is; gRPC starts some whenever it likes.

        The threads at home that are still there.
        """
        present = {int(task.name) for task in Path("/proc/self/task").iterdir()}
        with self._lock:  # who comes home meanwhile is not taken for an heir
            self._threads &= present
            for thread in present - self._threads:
                _bind(thread, self._allowed)
            return frozenset(self._threads)

    def _move_to(self, cpu: int) -> None:
        with self._lock:
            if cpu != self._home:
                self._home = cpu
                self._threads = {thread for thread in self._threads if _bind(thread, {cpu})}


class _Here(threading.local):
    """Whether this thread has come home."""

    at_home = False


def _allowed_cpus() -> frozenset[int]:
    """Among which there is a choice; empty when there is none."""
    if sys.platform != "linux" or not Path("/proc/stat").exists():
        return frozenset()
    allowed = frozenset(os.sched_getaffinity(0))
    return allowed if len(allowed) > 1 else frozenset()


def _bind(thread: int, cpus: Collection[int]) -> bool:
    """Whether it could be done: the thread may have ended, the CPUs may have been taken away."""
    try:
        os.sched_setaffinity(thread, cpus)
    except OSError:
        return False
    return True


def _usage(allowed: frozenset[int], threads: frozenset[int]) -> Usage:
    total, busy = {}, {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in allowed:
            ticks = [int(number) for number in numbers[:8]]  # what guests use is counted twice
            total[int(name[3:])] = sum(ticks)
            busy[int(name[3:])] = sum(ticks) - ticks[3] - ticks[4]  # idle, waiting for a disk
    return Usage(total, busy, {thread: _ticks_of(thread) for thread in threads})


def _ticks_of(thread: int) -> int:
    try:
        fields = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0  # it has ended
    return int(fields[11]) + int(fields[12])
