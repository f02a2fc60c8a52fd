"""What is made of what was measured."""

from __future__ import annotations

import pytest

from bench import measures, wrk


@pytest.mark.parametrize(("share", "figure"), [(0.99, 99.0), (0.5, 50.0), (1.0, 100.0), (0.001, 1.0)])
def test_percentile_is_one_of_the_figures(share: float, figure: float) -> None:
    """The least that so many don't exceed: nothing is interpolated."""
    shuffled = [float(number * 37 % 101) for number in range(1, 101)]
    assert measures.percentile(shuffled, share) == figure


def test_percentile_of_a_single_figure_is_that_figure() -> None:
    assert measures.percentile([3.0], 0.99) == 3.0


def test_p99_of_hits_is_in_milliseconds() -> None:
    assert measures._hits_p99("Running 2s\nhits: 9500 p99: 1385 us misses: 500\n", 20) == 1.385


def test_hits_beside_too_few_misses_are_no_figure() -> None:
    """When the documents to miss run out, they are read a second time, and are hits."""
    with pytest.raises(wrk.Failed, match="only 400 misses"):
        measures._hits_p99("hits: 9600 p99: 1385 us misses: 400\n", 20)
    assert measures._hits_p99("hits: 9600 p99: 1385 us misses: 0\n", 0) > 0


def test_run_without_hits_is_no_figure() -> None:
    with pytest.raises(wrk.Failed, match="no hits"):
        measures._hits_p99("Requests/sec: 100\n", 0)
