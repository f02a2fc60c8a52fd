"""Fair turns, and what counts in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench import report, rows
from bench.contest import AtLeast, AtMost, Row, hold


def listed(figures: list[float], name: str, order: list[str]) -> Callable[[None, int], float]:
    """A measurement that gives these figures, and notes that it was its turn."""

    def measure(_stage: None, number: int) -> float:
        order.append(name)
        return figures[number]

    return measure


def row(ours: list[float], peer: list[float], order: list[str], target: float = 1) -> Row[None]:
    return Row("ours", "theirs", AtLeast(target), "", listed(ours, "ours", order), listed(peer, "peer", order))


def test_both_take_turns_and_each_begins_as_often() -> None:
    """A machine that slows down slows both, and favours neither."""
    order: list[str] = []
    hold(row([1.0] * 4, [1.0] * 4, order), None, 4)
    assert order == ["ours", "peer", "peer", "ours", "ours", "peer", "peer", "ours"]


def test_median_of_the_rounds_ratios_is_held_against_the_target() -> None:
    """Not the ratio of medians (10 : 10 here): the two of a pair were measured under the same conditions."""
    result = hold(row([30.0, 10.0, 4.0], [10.0, 20.0, 2.0], [], target=2), None, 3)
    assert result.outcomes == (3.0, 0.5, 2.0)
    assert result.met


def test_without_a_peer_the_figure_itself_counts_and_is_taken_once() -> None:
    order: list[str] = []
    alone = Row("memory", "", AtMost(150), "MB", listed([149.0], "ours", order))
    result = hold(alone, None, 5)
    assert (result.outcomes, result.met, order) == ((149.0,), True, ["ours"])


def test_row_without_a_target_has_ratios_and_no_verdict() -> None:
    order: list[str] = []
    bare = Row("ours", "theirs", None, "", listed([3.0, 4.0], "ours", order), listed([2.0, 2.0], "peer", order))
    result = hold(bare, None, 2)
    assert (result.outcomes, result.target, result.met) == ((1.5, 2.0), None, None)
    assert "met" not in report.line(result).lower()


@pytest.mark.parametrize(
    ("target", "met", "missed"), [(AtLeast(0.8), (0.8, 1.0), (0.79,)), (AtMost(2), (2.0, 0.1), (2.01,))]
)
def test_target_itself_is_good_enough(
    target: AtLeast | AtMost, met: tuple[float, ...], missed: tuple[float, ...]
) -> None:
    assert all(map(target.met_by, met))
    assert not any(map(target.met_by, missed))


def test_rows_are_chosen_by_all_words_in_any_case() -> None:
    assert [each.peer for each in rows.chosen(["CACHED", "nginx"])] == ["nginx, from disk"]
    assert rows.chosen([]) == rows.ROWS
    assert rows.chosen(["nginx", "redis"]) == ()


def test_no_two_rows_have_the_same_name() -> None:
    assert len({each.name for each in rows.ROWS}) == len(rows.ROWS)
