"""Counting what happens tens of thousands of times a second. One more takes no lock: it may cost a hit hardly anything.

prometheus_client's own instruments lock for every increment; that is right for everything rarer. Exact all the same:
nothing is sampled and no increment is lost. What is divided between threads is divided by steps that Python does whole.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

FOLD_AT = 256
"""Durations kept before they are sorted into buckets, so that memory is bounded however rarely somebody scrapes."""


class Tally:
    """A count that only rises. Safe for concurrent use."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._looking = threading.Lock()  # protects _looks
        self._looks = 0  # numbers taken by looking at the count
        self.add = self._numbers.__next__

    def value(self) -> int:
        """How often `add` was called."""
        with self._looking:
            count = next(self._numbers) - self._looks
            self._looks += 1
            return count


class Tallies(Collector):
    """A counter with one label, whose values are known beforehand."""

    def __init__(self, name: str, text: str, label: str, values: Iterable[str]) -> None:
        self._name, self._text, self._label = name, text, label
        self._tallies = {value: Tally() for value in values}

    def __getitem__(self, value: str) -> Tally:
        """The one to add to. Raises KeyError."""
        return self._tallies[value]

    def collect(self) -> Iterator[Metric]:
        """The counts, as of now."""
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, tally in self._tallies.items():
            family.add_metric([value], tally.value())
        yield family


class Timings:
    """A histogram of seconds with these upper bounds. Safe for concurrent use."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._new: deque[float] = deque()
        self._folding = threading.Lock()  # protects what follows, and the left end of `_new`
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self._new.append(seconds)
        if len(self._new) >= FOLD_AT:
            self.read()

    def read(self) -> tuple[list[int], float]:
        """How many lie in each bucket, the last one without a bound; and the sum."""
        with self._folding:
            for _ in range(len(self._new)):
                seconds = self._new.popleft()
                self._counts[bisect_left(self._bounds, seconds)] += 1
                self._sum += seconds
            return list(self._counts), self._sum
