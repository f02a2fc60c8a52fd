"""Whole instances at work, each on the loop of the process, on a store that the test holds in its hand."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from consistency import CacheOptions, DistributedCache, Status, Store
from consistency.core.events import Event

DEADLINE = 10.0
T = TypeVar("T")
QUICK = CacheOptions(staleness_bound=1.0, timeout=2.0, lease_ttl=10)


class Background(Generic[T]):
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._result: T | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            self._error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> T:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the call did not come back"
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]


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
    cache = DistributedCache(store, options, description=description, observer=journal or Journal(), closes_store=False)
    cache.start()
    try:
        if await_fresh:
            await_status(cache, lambda status: status.fresh and status.watch_up)
        yield cache
    finally:
        cache.close()
