"""PROTOCOL.md is the contract: every rule has tests that cite it, and what is cited exists."""

from __future__ import annotations

import re
from pathlib import Path

from torture.checker import CHECKS

PROJECT = Path(__file__).parents[2]
BUILT = set(range(1, 20))


def rules() -> set[int]:
    return {int(number) for number in re.findall(r"^\*\*(\d+)\. ", (PROJECT / "PROTOCOL.md").read_text(), re.MULTILINE)}


def rules_in(text: str) -> set[int]:
    """The rules that a text cites: `rule 4`, `rules 6 and 7`, `rules 2 to 8`."""
    found: set[int] = set()
    for words in re.findall(r"[Rr]ules?\s+((?:\d+(?:,\s*|\s+and\s+|\s+to\s+)?)+)", text):
        for part in re.findall(r"\d+(?: to \d+)?", words):
            first, _, last = part.partition(" to ")
            found |= set(range(int(first), int(last or first) + 1))
    return found


def cited(folder: str) -> set[int]:
    """The rules that the files of a folder cite."""
    return set().union(*(rules_in(file.read_text()) for file in (PROJECT / folder).glob("**/*.py")))


def test_the_document_has_the_rules_that_are_built() -> None:
    assert rules() == BUILT


def test_every_rule_is_cited_by_a_test() -> None:
    assert rules() <= cited("tests/instance")


def test_every_rule_is_cited_by_the_code() -> None:
    assert rules() <= cited("consistency")


def test_every_error_and_decision_is_in_the_document() -> None:
    text = (PROJECT / "PROTOCOL.md").read_text()
    for name in (
        "PreconditionFailed",
        "TooLarge",
        "NoSpace",
        "Denied",
        "Unavailable",
        "OutcomeUnknown",
        "WrongTimeline",
    ):
        assert name in text


def test_every_check_of_the_checker_is_stated_with_its_argument() -> None:
    """One row each, in the checker's order: what is found, and why a correct service never shows it."""
    _, _, section = (PROJECT / "PROTOCOL.md").read_text().partition("## The checker")
    rows = re.findall(r"^\| `(\w+)` \| [^|]{10,} \| [^|]{5,} \|$", section, re.MULTILINE)
    assert rows == [check.__name__ for check in CHECKS]
    assert "O(n log n)" in section
