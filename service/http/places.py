"""Who may receive a body just now: clients that send theirs drop by drop must not keep the others from being answered.

At most half of the threads receive bodies, and half of these such as nobody wants. Most bodies are there at once and
take a place for a moment only: a quarter of the threads may wait for one, briefly, and the last quarter is always free
of bodies.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Places:
    """Safe for use from many threads."""

    def __init__(self, threads: int, patience: float) -> None:
        """`threads`: that work on requests. `patience`: seconds to wait for a place."""
        self._places = threading.BoundedSemaphore(max(1, threads // 2))
        self._queue = threading.BoundedSemaphore(threads // 4)
        self._unwanted = threading.BoundedSemaphore(max(1, threads // 4))
        self._patience = patience

    @contextmanager
    def wanted(self) -> Iterator[bool]:
        """A place, while entered, for a body that may be accepted; False when there is none."""
        if not self._take():
            yield False
            return
        try:
            yield True
        finally:
            self._places.release()

    @contextmanager
    def unwanted(self) -> Iterator[bool]:
        """The same for a body that is discarded. Nobody waits for it, and the others are left half of the places."""
        if not self._unwanted.acquire(blocking=False):
            yield False
            return
        try:
            if not self._places.acquire(blocking=False):
                yield False
                return
            try:
                yield True
            finally:
                self._places.release()
        finally:
            self._unwanted.release()

    def _take(self) -> bool:
        if self._places.acquire(blocking=False):
            return True
        if not self._queue.acquire(blocking=False):
            return False
        try:
            return self._places.acquire(timeout=self._patience)
        finally:
            self._queue.release()
