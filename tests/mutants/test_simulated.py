"""What the table of docs/simulation.md says of the mutants that the simulation does not find."""

from __future__ import annotations

import pytest

from mutants.catalogue import MUTANTS
from mutants.simulated import BEGIN, DOCUMENT, END, Found, known, row, table, titles
from mutants.unseen import KINDS, UNSEEN


def test_reasons_are_of_mutants_that_there_are() -> None:
    assert set(UNSEEN) - {mutant.title for mutant in MUTANTS} == set()


@pytest.mark.parametrize("title", UNSEEN)
def test_a_reason_is_of_a_kind_and_says_something(title: str) -> None:
    kind, reason = UNSEEN[title].split(": ", 1)
    assert f"{kind}: " in KINDS
    assert len(reason) > len("by hand")
    assert "|" not in reason


def test_the_document_keeps_the_rows_of_mutants_that_are_not_run_again() -> None:
    text = DOCUMENT.read_text()
    rows = known(text)
    assert set(rows) <= set(titles())
    written = table(list(rows.values()), 6, 30)
    assert known(f"{written}{END}") == rows
    assert written.startswith(BEGIN)


def test_a_row_says_why_a_mutant_is_not_found() -> None:
    mutant = next(each for each in MUTANTS if each.title in UNSEEN)
    assert row(mutant, Found(0, 0, "", run=True), 6).endswith(f"| not found | {UNSEEN[mutant.title]} |")
    assert row(mutant, Found(2, 1, "problem", run=True), 6).endswith("| 2 of 6 | problem |")


def test_each_mutant_is_found_or_it_is_said_why_not() -> None:
    rows = known(DOCUMENT.read_text())
    assert set(rows) == set(titles())
    assert [line for line in rows.values() if line.endswith("|  |")] == []
