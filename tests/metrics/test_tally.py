"""Counting without a lock loses nothing, whichever threads count and look meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from metrics.tally import FOLD_AT, Tally, Timings

THREADS = 8
EACH = 20_000


def at_once(count: Callable[[], object], look: Callable[[], object]) -> None:
    """`count`, EACH times on each of THREADS threads, while this one looks."""
    threads = [threading.Thread(target=lambda: [count() for _ in range(EACH)]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        look()
    for thread in threads:
        thread.join(60)


def test_a_tally_counts_every_addition_and_no_look() -> None:
    tally = Tally()
    at_once(tally.add, tally.value)
    assert [tally.value(), tally.value()] == [THREADS * EACH] * 2


def test_timings_count_every_duration_once() -> None:
    timings = Timings((0.25, 0.5))
    at_once(lambda: timings.add(0.5), timings.read)
    assert timings.read() == ([0, THREADS * EACH, 0], THREADS * EACH * 0.5)


def test_a_duration_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    """Prometheus: `le` means less than or equal."""
    timings = Timings((1.0, 2.0))
    for seconds in (0.0, 1.0, 1.5, 2.0, 2.5):
        timings.add(seconds)
    assert timings.read() == ([2, 2, 1], 7.0)


def test_what_waits_to_be_sorted_in_is_bounded() -> None:
    """However rarely somebody scrapes."""
    timings = Timings((1.0,))
    for _ in range(10 * FOLD_AT):
        timings.add(0.5)
        assert len(timings._new) < FOLD_AT
