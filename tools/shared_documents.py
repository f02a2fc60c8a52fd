"""The documents of a load test: what each may hold at a moment, and so what a read of it may answer. Pure.

Each has one user who writes it, one write after another; all read it. Time is in monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from math import inf

KEPT = 100
"""States of a document: more than are written within any bound."""


class Document:
    """A key that one user writes. It begins absent."""

    def __init__(self, path: str) -> None:
        self.path = path
        # From the first that a read may still see: [when its write was acknowledged, the value]; None: absent.
        self._states: deque[tuple[float, bytes | None]] = deque([(-inf, None)], maxlen=KEPT)

    def begin(self, value: bytes | None) -> None:
        """A write is sent: from now on it may be seen."""
        self._states.append((inf, value))

    def acknowledge(self, now: float) -> None:
        """The write sent last is done: what was before may be seen for the bound only."""
        _, value = self._states.pop()
        self._states.append((now, value))

    def possible(self, since: float) -> list[bytes | None]:
        """What was current at some moment from `since` on, or may have been."""
        states = [*self._states]
        first = max((at for at, (done, _) in enumerate(states) if done <= since), default=0)
        return [value for _, value in states[first:]]
