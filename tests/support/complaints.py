"""What asyncio complains of, as failures: fixtures for all tests. The loops of this process are in its debug mode.

Owns the list of complaints: a callback that holds the loop, a task that was dropped, a failure that nobody looked at, a
call from another thread. A coroutine that was never awaited and a transport that was never closed are warnings, which
are errors in any case. What the processes say that tests start is looked at in `tests.support.instances`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

import pytest

from tests.support.asyncio_says import counts
from tests.support.driver import DebuggingPolicy

_LOGGER = logging.getLogger("asyncio")


@pytest.fixture(scope="session", autouse=True)
def all_complaints() -> Iterator[list[str]]:
    """Fails the last test if asyncio complained after it, of what several tests share."""
    asyncio.set_event_loop_policy(DebuggingPolicy())
    with heard() as told:
        yield told
    assert told == [], "asyncio complained"


@pytest.fixture(autouse=True)
def complaints(all_complaints: list[str]) -> Iterator[list[str]]:
    """Fails the test during which asyncio complained. One that provokes a complaint takes it out of the list."""
    yield all_complaints
    told = all_complaints.copy()
    all_complaints.clear()
    assert told == [], "asyncio complained"


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What asyncio complains of meanwhile."""
    listener = _Listener()
    _LOGGER.addHandler(listener)
    try:
        yield listener.complaints
    finally:
        _LOGGER.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = self.format(record)
        if counts(said):
            self.complaints.append(said)
