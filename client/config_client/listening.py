"""Listeners on threads of their own: outside all locks, so that one which hangs or raises stops nobody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

log = logging.getLogger("config_client")


class Gathering(Protocol):
    """What a listener has not been told yet."""

    def take(self) -> list[Any]:
        """Return it, and begin anew."""

    def after_fork(self) -> None:
        """Make locks anew: whoever held them is not in this process."""


class Listener:
    """The handle of a callback: `close` it, or leave it to the client."""

    def __init__(self, gathering: Gathering, callback: Callable[[list[Any]], object], title: str) -> None:
        self._gathering = gathering
        self._callback = callback
        self._title = title
        self._closing = False
        self._on_close: Callable[[], None] = lambda: None
        self._set_up()

    def _set_up(self) -> None:
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"config-client listener {self._title}", daemon=True)

    def start(self, on_close: Callable[[], None]) -> None:
        """Start the thread. on_close: called when it is closed."""
        self._on_close = on_close
        self._thread.start()

    def after_fork(self) -> None:
        """Make anew what a forked child has not got: locks that can be taken, and a thread, to be started."""
        self._gathering.after_fork()
        self._set_up()

    def start_anew(self) -> None:
        """Start that thread. There may be something to tell."""
        self._bell.set()
        self._thread.start()

    def wake(self) -> None:
        """There is something to tell."""
        self._bell.set()

    def close(self, within: float = 5.0) -> None:
        """Tell nothing more, and wait until a call that is under way has returned.

        within: seconds; one that hangs longer is left behind, and the log says so. A callback may close itself.
        """
        self._closing = True
        self._on_close()
        self._bell.set()
        if self._thread is threading.current_thread():
            return
        self._thread.join(within)
        if self._thread.is_alive():
            log.warning("the listener %s has not returned within %g s; its thread is left behind", self._title, within)

    def _run(self) -> None:
        while not self._closing:
            self._bell.wait()
            self._bell.clear()
            gathered = self._gathering.take()
            if gathered and not self._closing:
                try:
                    self._callback(gathered)
                except Exception:
                    log.exception("the listener %s has failed; it is told further", self._title)
