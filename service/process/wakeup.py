"""Wakes the main thread for a signal or for another thread; refuses to be waited for by anybody else.

In the place of a `threading.Event`, which a signal can lock for ever:

    1. the main thread is inside `wait`, or inside `set`, and holds the event's inner lock,
    2. a signal comes, and its handler runs in the same thread,
    3. the handler calls `set`, which wants that lock: the thread waits for itself.

A pipe has no lock to hold. It also wakes the main thread when the kernel hands the signal to another one: Python's own
handler writes into it wherever it runs.
"""

from __future__ import annotations

import os
import select
import signal


class Wakeup:
    """What Granian's main loop waits for. One in a process, made and waited for in the main thread.

    Never closed: signals may come until the process ends.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def set(self) -> None:
        """Ends `wait`, now or when it comes. From any thread and from signal handlers."""
        try:
            os.write(self._write, b"\0")
        except BlockingIOError:
            return  # full: it will be read in any case

    def wait(self) -> None:
        """Until `set` was called or a signal came; a signal's handler has run by then."""
        select.select([self._read], [], [])
        os.read(self._read, 4096)

    def clear(self) -> None:
        """Nothing: `wait` has taken what there was."""
