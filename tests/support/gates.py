"""Gates: a test's hand on one call of the fake store.

Owns one waiting call. Waits no longer than LIMIT seconds of real time for the test, then fails the call loudly.
"""

from __future__ import annotations

import asyncio
import enum

from tests.support.bell import Bell
from tests.support.driver import until

LIMIT = 20.0
"""Seconds after which a held call gives up: the test forgot its gate."""


class At(enum.StrEnum):
    """Where a call is held."""

    REQUEST = "request"  # before it is executed: what happens meanwhile comes first
    ANSWER = "answer"  # after it was executed: its answer is on the way


class ForgottenGateError(AssertionError):
    """A test held a call and never let it go, or waited for a call that never came."""


class Gate:
    """Holds the one call that meets it, until `release` or `fail`; either may be called before the call comes."""

    def __init__(self, kind: str, at: At) -> None:
        self.kind = kind
        self.at = at
        self._held = False
        self._open = False
        self._opened = Bell()
        self._error: Exception | None = None

    def wait_until_held(self, timeout: float = LIMIT) -> Gate:
        """Returns when a call stands at the gate. Raises ForgottenGateError when none came within `timeout` seconds."""
        if not until(lambda: self._held, timeout):
            raise ForgottenGateError(f"no {self.kind} came to its gate within {timeout} s")
        return self

    def release(self) -> None:
        """Lets the call go on. From any thread."""
        self._open = True
        self._opened.ring()

    def fail(self, error: Exception) -> None:
        """Makes the call raise `error`. Held at its answer it has been executed all the same."""
        self._error = error
        self.release()

    async def stop_here(self) -> None:
        """What the store awaits on behalf of its caller."""
        self._held = True
        try:
            async with asyncio.timeout(LIMIT):
                await self._opened.until(lambda: self._open)
        except TimeoutError:
            raise ForgottenGateError(f"nobody opened the gate of {self.kind} within {LIMIT} s") from None
        if self._error is not None:
            raise self._error
