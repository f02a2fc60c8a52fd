"""asyncio's debug mode, and what it complains of as failures: a fixture for the tests of a folder.

Owns the list of complaints: a callback that holds the loop, a task that was dropped, a failure that nobody looked at, a
call from another thread. A coroutine that was never awaited and a transport that was never closed are warnings, which
are errors in any case.

A callback is slow from SLOW seconds on. Those are of the clock on the wall, and on a machine that does much else at a
time callbacks of 2 ms have been seen to take half a second; so this finds what waits where it must not. What computes
for too long is found by `tests.support.holds`, by the time of the processor.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator

import pytest

from tests.support.driver import LOOP

SLOW = 2.0

DEBUG = "PYTHONASYNCIODEBUG"
"""What every loop asks that is made from then on."""

_LOGGER = logging.getLogger("asyncio")
_SLOW = re.compile(r"\bExecuting .* took ([\d.]+) seconds")


@pytest.fixture(autouse=True)
def complaints(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fails the test during which asyncio complained. One that provokes a complaint takes it out of the list."""
    monkeypatch.setenv(DEBUG, "1")
    LOOP.set_debug(True)
    with heard() as told:
        yield told
    LOOP.set_debug(False)
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
        if _counts(said):
            self.complaints.append(said)


def _counts(complaint: str) -> bool:
    slow = _SLOW.search(complaint)
    return slow is None or float(slow[1]) >= SLOW
