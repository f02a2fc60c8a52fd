"""Whom to ask next, and for how long: one read's way through the endpoints. Pure: the clock is a parameter.

Owns one decision. A dead endpoint must not eat the time of the living ones, so each gets its share of what is left.
The search ends when the time is up, or as soon as every endpoint could not even be connected to, or is no etcd: then
waiting helps nobody. Not while that may be old news: see Health.refusals_count_from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from consistency.core.store import BadCredentials, Unavailable
from consistency.etcd.errors import Diagnosis

LEAST = 0.02
"""Seconds below which asking is not worth it."""

MOMENT = 0.2
"""Seconds below which no answer means that there was no time for one."""

PAUSE = (0.02, 0.1)
"""Seconds between two rounds of asking all endpoints, least and most: time for a leader to be elected."""


class Turns:
    """One read. `names` are the endpoints, for the operator; `first` is the index to begin with.

    refusals_count_from: see Health.
    """

    def __init__(
        self,
        names: Sequence[str],
        first: int,
        timeout: float,
        clock: Callable[[], float],
        refusals_count_from: float = float("-inf"),
    ) -> None:
        self._names = names
        self._first = first
        self._clock = clock
        self._deadline = clock() + timeout
        self._refusals_count_from = refusals_count_from
        self._asked = 0
        self._share = 0.0  # seconds of the turn taken last
        self._diagnoses: dict[str, Diagnosis] = {}

    def take(self) -> tuple[int, float]:
        """The next endpoint's index, and how many seconds it gets."""
        waiting = len(self._names) - self._asked % len(self._names)
        index = (self._first + self._asked) % len(self._names)
        self._asked += 1
        self._share = max(LEAST, self._left() / waiting)
        return index, self._share

    def failed(self, index: int, diagnosis: Diagnosis) -> None:
        """The endpoint taken last gave no answer. What it was found to be before stays, if this turn was a moment."""
        name = self._names[index]
        if self._share >= MOMENT or name not in self._diagnoses:
            self._diagnoses[name] = diagnosis

    def over(self) -> bool:
        """Whether to give up: no time, or no endpoint of which one could hope for more in a moment."""
        found = self._diagnoses.values()
        all_asked = len(found) == len(set(self._names)) and self._clock() >= self._refusals_count_from
        return self._left() < LEAST or (all_asked and not any(each.may_be_better_soon for each in found))

    def pause(self) -> float:
        """Seconds to wait before the next turn: none until each endpoint has had one."""
        return 0.0 if self._asked % len(self._names) else random.uniform(*PAUSE)

    def error(self) -> Unavailable:
        """What the caller gets: all that was found, BadCredentials first among it."""
        findings = "; ".join(f"{name}: {diagnosis.finding}" for name, diagnosis in self._diagnoses.items())
        refused = any(diagnosis.error is BadCredentials for diagnosis in self._diagnoses.values())
        kind = BadCredentials if refused else Unavailable
        return kind(f"no etcd endpoint gave an answer: {findings or 'not asked'}")

    def said(self) -> str:
        """The failures of the endpoints so far, to put before another's message: "at …: …; at …: …; "."""
        return "".join(f"at {name}: {diagnosis.finding}; " for name, diagnosis in self._diagnoses.items())

    def _left(self) -> float:
        return self._deadline - self._clock()
