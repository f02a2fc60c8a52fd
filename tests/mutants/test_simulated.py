"""What the table of docs/simulation.md says of the mutants that the simulation does not find."""

from __future__ import annotations

import pytest

from mutants.catalogue import MUTANTS
from mutants.unseen import KINDS, UNSEEN


def test_reasons_are_of_mutants_that_there_are() -> None:
    assert set(UNSEEN) - {mutant.title for mutant in MUTANTS} == set()


@pytest.mark.parametrize("title", UNSEEN)
def test_a_reason_is_of_a_kind_and_says_something(title: str) -> None:
    kind, reason = UNSEEN[title].split(": ", 1)
    assert f"{kind}: " in KINDS
    assert len(reason) > len("by hand")
    assert "|" not in reason
