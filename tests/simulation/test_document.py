"""docs/simulation.md: its story is what is told today, and its table speaks of mutants that there are."""

from __future__ import annotations

import re

import pytest

from mutants.__main__ import PROJECT
from mutants.catalogue import MUTANTS
from mutants.simulated import DOCUMENT, story

TEXT = DOCUMENT.read_text()


@pytest.mark.timeout(400)  # forty runs of a second each, on a machine that others use
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
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (?:\d+ of \d+|seed \d+|not found|not run) \| .*\|$", TEXT, re.MULTILINE)
    assert len(rows) > 10
    assert {f"rule {rule}: {broken}" for rule, broken in rows} <= titles


def test_the_story_tells_of_every_operation_that_is_left_and_of_its_cause() -> None:
    """One whose answer comes after the offending read, too; and what the instance goes on holding."""
    told = re.search(r"```text\n.*?(\d+) operations.*?\n\n(.*?)\n\nbroken: .*?```", TEXT, re.DOTALL)
    assert told
    assert set(re.findall(r" … .*  #(\d+) client", told[2])) == {str(each + 1) for each in range(int(told[1]))}
    cause = r"(instance \d): holds (\S+): absent, current as of (\d+)\n(?:.*\n)*.*\1: has applied revision \d+: \2\n"
    assert re.search(cause, told[2])


def test_what_is_said_not_to_be_run_is_there_and_what_is_left_out_is_said() -> None:
    """The tables are of files of `consistency/`; those that `make simulate-coverage` leaves out have a reason."""
    tables = TEXT[TEXT.index("## What of the code it runs") : TEXT.index("## A long run")]
    rows = [row.split(" | ")[0] for row in tables.splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row)}
    folders = ("", "instance/")
    assert all(any((PROJECT / "consistency" / folder / name).is_file() for folder in folders) for name in named)
    omitted = re.search(r"^NOT_SIMULATED = (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert omitted
    assert {each.removeprefix("consistency/") for each in omitted[1].split(",")} <= named
