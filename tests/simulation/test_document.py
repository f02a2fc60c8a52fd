"""docs/simulation.md: its story is what is told today, and its table speaks of mutants that there are."""

from __future__ import annotations

import re

from mutants.catalogue import MUTANTS
from mutants.simulated import DOCUMENT, story

TEXT = DOCUMENT.read_text()


def test_the_story_of_a_broken_rule_is_what_the_program_tells() -> None:
    """Once more, on a copy with the break. Renewed by the command that stands above it."""
    found = re.search(r'--story (\d+) "([^"]+)"`', TEXT)
    told = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)
    assert found
    assert told
    (mutant,) = (mutant for mutant in MUTANTS if mutant.title == found[2])
    lines = [line.rstrip() for line in story(mutant, int(found[1])).splitlines()]
    assert told[1].rstrip().splitlines() == lines[: len(told[1].rstrip().splitlines())]
    assert [line for line in lines if line.startswith("broken: ")]


def test_the_table_names_mutants_of_the_catalogue() -> None:
    titles = {mutant.title for mutant in MUTANTS}
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (?:\d+ of \d+|seed \d+|not found) \| .*\|$", TEXT, re.MULTILINE)
    assert len(rows) > 10
    assert {f"rule {rule}: {broken}" for rule, broken in rows} <= titles
