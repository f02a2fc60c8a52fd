"""The mutants still apply: a break of source text that is no longer there would break nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.__main__ import PROJECT
from tests.mutants.catalogue import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}-{mutant.break_}".replace(" ", "_"))
def test_a_mutant_applies(mutant: Mutant) -> None:
    text = (PROJECT / mutant.file).read_text()
    assert mutant.old in text
    assert mutant.old != mutant.new
    compile(text.replace(mutant.old, mutant.new, 1), mutant.file, "exec")


def test_every_rule_that_is_built_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(range(1, 15))
    assert Path(PROJECT / "PROTOCOL.md").exists()
