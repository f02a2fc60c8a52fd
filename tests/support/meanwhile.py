"""What goes on while a test does something else: clients that ask over and over, each in a thread of its own.

Owns the threads, and joins them. The processes of a test are never started from here: they would die with the thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

JOINED_WITHIN = 20.0
"""Seconds in which a piece of work that has begun must end: more than any client waits for an answer."""


@contextlib.contextmanager
def meanwhile(works: Sequence[Callable[[], object]], *, pause: float) -> Iterator[None]:
    """Repeats each of `works`, `pause` seconds after it has returned, until left. A work that raises is not repeated.

    Raises, when left, what the first of them raised; an error of the test, which may follow from it, is shown beside.
    """
    stopped = Event()

    def repeat(work: Callable[[], object]) -> None:
        while not stopped.wait(pause):
            work()

    with ThreadPoolExecutor(len(works), thread_name_prefix="meanwhile") as threads:
        running = [threads.submit(repeat, work) for work in works]
        try:
            yield
        finally:
            stopped.set()
            for each in running:
                each.result(JOINED_WITHIN)
