"""What is shown is what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import report, rows
from bench.contest import Figures, Rounds
from bench.report import BEGIN, END, GROUPINGS
from tests.support.instances import PROJECT

DOCUMENT = PROJECT / "docs" / "performance.md"
FLASK = rows.chosen(["flask"])[0]
LATENCY = rows.LATENCIES[0]


def load(rate: float) -> Figures:
    return {"requests/s": rate, "p50": 1.0, "p99": 2.0, "p99.9": 30.0}


def rounds(*pairs: tuple[float, float]) -> Rounds:
    return Rounds(tuple(load(ours) for ours, _ in pairs), tuple(load(peer) for _, peer in pairs))


def test_row_shows_median_and_spread_of_both_groupings_and_the_verdict() -> None:
    """Met in one of them is not met."""
    together, apart = rounds((300, 10), (100, 10), (200, 10)), rounds((9, 1))
    (row,) = (
        line
        for line in report.markdown({FLASK.name: dict(zip(GROUPINGS, (together, apart), strict=True))}, "").splitlines()
        if "Flask" in line
    )
    assert row == f"| {FLASK.name} | requests/s | ≥ 10 | 20 (10 to 30) | 9 | **no** |"


def test_latencies_show_all_percentiles_of_both_sides() -> None:
    shown = report.markdown({LATENCY.name: {GROUPINGS[1]: rounds((300, 100))}}, "")
    assert f"| {LATENCY.what} | a session each | 300 : 100 | 1 : 1 | 2 : 2 | 30 : 30 |" in shown
    assert "| requests/s | p50, ms | p99, ms | p99.9, ms |" in shown


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    report.write_document(document, "new")
    assert document.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}\n"])
def test_document_without_both_marks_stays_as_it_is(tmp_path: Path, text: str) -> None:
    document = tmp_path / "document.md"
    document.write_text(text)
    with pytest.raises(ValueError, match="has no lines"):
        report.write_document(document, "new")
    assert document.read_text() == text


def test_document_has_every_row_with_its_target_and_every_latency() -> None:
    """A row that was changed has to be measured again."""
    shown = DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0]
    for contest in rows.CONTESTS:
        for figure, target in contest.targets.items():
            assert f"| {contest.name} | {figure} | {target} |" in shown
    for contest in rows.LATENCIES:
        for grouping in GROUPINGS:
            assert f"| {contest.what} | {grouping} |" in shown
