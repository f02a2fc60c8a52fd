"""Fair turns, and what counts in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import rows
from bench.contest import Contest, Figures, Rounds, Target, at_least, at_most, hold, percentiles


def listed(figures: list[float], name: str, order: list[str]) -> Callable[[None, int], Figures]:
    """A measurement that gives these figures, and notes that it was its turn."""

    def measure(_stage: None, number: int) -> Figures:
        order.append(name)
        return {"figure": figures[number]}

    return measure


def contest(ours: list[float], peer: list[float], order: list[str]) -> Contest[None]:
    return Contest("ours", "theirs", listed(ours, "ours", order), listed(peer, "peer", order))


def test_both_take_turns_and_each_begins_as_often() -> None:
    """A machine that slows down slows both, and favours neither."""
    order: list[str] = []
    hold(contest([1.0] * 4, [1.0] * 4, order), None, 4)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]


def test_median_of_the_rounds_ratios_counts() -> None:
    """Not the ratio of medians (10 : 10 here): the two of a pair were measured under the same conditions."""
    rounds = hold(contest([30.0, 10.0, 4.0], [10.0, 20.0, 2.0], []), None, 3)
    assert rounds.outcomes("figure") == (3.0, 0.5, 2.0)
    assert rounds.outcome("figure") == 2.0


def test_without_a_peer_the_figure_itself_counts_and_is_taken_once() -> None:
    order: list[str] = []
    rounds = hold(Contest("memory", "", listed([149.0], "ours", order), None), None, 5)
    assert (rounds.outcomes("figure"), order) == ((149.0,), ["ours"])


def test_sides_of_unequal_length_are_no_rounds() -> None:
    """A ratio of two rounds that don't belong together would be no ratio."""
    with pytest.raises(ValueError, match="zip"):
        Rounds(({"figure": 1.0}, {"figure": 1.0}), ({"figure": 1.0},)).outcomes("figure")


@pytest.mark.parametrize(
    ("target", "met", "missed"), [(at_least(0.8), (0.8, 1.0), (0.79,)), (at_most(2), (2.0, 0.1), (2.01,))]
)
def test_target_itself_is_good_enough(target: Target, met: tuple[float, ...], missed: tuple[float, ...]) -> None:
    assert all(map(target.met_by, met))
    assert not any(map(target.met_by, missed))


def test_percentiles_are_among_the_figures() -> None:
    """The least that so many don't exceed: nothing is interpolated, and of one figure each is that figure."""
    shuffled = [float(number * 37 % 1_001) for number in range(1, 1_001)]
    assert percentiles(shuffled) == {"p50": 500.0, "p99": 990.0, "p99.9": 999.0}
    assert percentiles([3.0]) == {"p50": 3.0, "p99": 3.0, "p99.9": 3.0}


def test_rows_are_chosen_by_all_words_in_any_case() -> None:
    assert [each.against for each in rows.chosen(["HITS", "flask"])] == ["plain Flask route on Granian with WSGI"]
    assert rows.chosen([]) == rows.CONTESTS
    assert rows.chosen(["flask", "gateway"]) == ()


def test_no_two_contests_have_the_same_name() -> None:
    """Results are kept by it."""
    assert len({each.name for each in rows.CONTESTS}) == len(rows.CONTESTS)
