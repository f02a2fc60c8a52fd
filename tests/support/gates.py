"""Gates: a test's hand on one call of the fake store.

Owns one waiting call. Waits no longer than LIMIT seconds of real time for the test, then fails the call loudly.
"""

from __future__ import annotations

import enum
import threading

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
        self._held = threading.Event()
        self._open = threading.Event()
        self._error: Exception | None = None

    def wait_until_held(self, timeout: float = LIMIT) -> Gate:
        """Returns when a call stands at the gate. Raises ForgottenGateError when none came within `timeout` seconds."""
        if not self._held.wait(timeout):
            raise ForgottenGateError(f"no {self.kind} came to its gate within {timeout} s")
        return self

    def release(self) -> None:
        """Lets the call go on."""
        self._open.set()

    def fail(self, error: Exception) -> None:
        """Makes the call raise `error`. Held at its answer it has been executed all the same."""
        self._error = error
        self._open.set()

    def stop_here(self) -> None:
        """What the store calls on the caller's thread."""
        self._held.set()
        if not self._open.wait(LIMIT):
            raise ForgottenGateError(f"nobody opened the gate of {self.kind} within {LIMIT} s")
        if self._error is not None:
            raise self._error
