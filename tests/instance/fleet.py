"""Whole instances with their threads, on a store that the test holds in its hand."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from consistency import CacheOptions, DistributedCache, Status, Store
from consistency.core.events import Event

DEADLINE = 10.0
QUICK = CacheOptions(staleness_bound=1.0, timeout=2.0, lease_ttl=10)


class Journal:
    """An observer that remembers, and lets a test wait for what it wants to see."""

    def __init__(self) -> None:
        self._news = threading.Condition()  # protects _events
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        with self._news:
            self._events.append(event)
            self._news.notify_all()

    def all(self, kind: type[Event]) -> list[Event]:
        with self._news:
            return [event for event in self._events if isinstance(event, kind)]

    def await_event(self, wanted: Callable[[Event], bool]) -> Event:
        with self._news:
            assert self._news.wait_for(lambda: any(map(wanted, self._events)), DEADLINE), self._events[-20:]
            return next(event for event in self._events if wanted(event))

    def clear(self) -> None:
        with self._news:
            self._events.clear()


def await_status(cache: DistributedCache, wanted: Callable[[Status], bool]) -> Status:
    """Polls the status until it is as wanted."""
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.005)):
        if wanted(status := cache.status()):
            return status
        pause.wait(0.005)
    raise AssertionError(f"not reached: {cache.status()}")


@contextlib.contextmanager
def started(
    store: Store,
    options: CacheOptions = QUICK,
    *,
    journal: Journal | None = None,
    await_fresh: bool = True,
    description: str = "{}",
) -> Iterator[DistributedCache]:
    """An instance that has joined, watches, and has proven itself."""
    cache = DistributedCache(store, options, description=description, observer=journal or Journal())
    cache.start()
    try:
        if await_fresh:
            await_status(cache, lambda status: status.fresh and status.watch_up)
        yield cache
    finally:
        cache.close()
