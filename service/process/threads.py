"""The service's own threads. A worker is one named thread with one owner, who stops and joins it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from consistency.core.events import Observer, WorkerFailed

RESTART_PAUSE = 1.0
"""Seconds before a worker that failed unexpectedly starts over."""


class Worker:
    """Runs `run(worker)` over and over until it is stopped. `run` looks at `stopping` and sleeps by `pause` only."""

    def __init__(self, name: str, run: Callable[[Worker], None], observer: Observer) -> None:
        self._run = run
        self._observer = observer
        self._stop = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    @property
    def name(self) -> str:
        """The thread's name."""
        return self._thread.name

    @property
    def stopping(self) -> bool:
        """Whether the owner wants the thread to end."""
        return self._stop.is_set()

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def wake(self) -> None:
        """Ends a `pause` early, the present one or the next."""
        self._bell.set()

    def pause(self, seconds: float) -> None:
        """Sleeps, unless or until woken or stopped. For the worker's own thread."""
        if not self._stop.is_set():
            self._bell.wait(max(0.0, seconds))
        self._bell.clear()

    def ask_to_stop(self) -> None:
        """Tells the thread to end, without waiting for it."""
        self._stop.set()
        self._bell.set()

    def join(self, timeout: float) -> bool:
        """Waits for the end, at most `timeout` seconds; whether it came."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._run(self)
            except Exception as error:  # noqa: BLE001  # whatever it is, the instance must not go on without this thread
                self._observer(WorkerFailed(self._thread.name, f"{type(error).__name__}: {error}"))
                self.pause(RESTART_PAUSE)
