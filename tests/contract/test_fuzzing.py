"""The program beside this folder: which failures of its own tool it does not take for the service's."""

from __future__ import annotations

import pytest

from contract.__main__ import hypothesis_failed

BY_ITSELF = """\
______________________________ GET /history/{key} ______________________________
Runtime Error
    Traceback (most recent call last):
      File "/site-packages/hypothesis/internal/conjecture/optimiser.py", line 124, in attempt_replace
        node = self.current_data.nodes[i]
    IndexError: tuple index out of range

=================================== SUMMARY ====================================

Errors:
  🚫 Runtime Error: 1

Warnings:
"""


def test_a_run_that_only_hypothesis_has_ended_says_nothing_of_the_service() -> None:
    assert hypothesis_failed(BY_ITSELF)


@pytest.mark.parametrize(
    ("instead_of", "there"),
    [
        ("Runtime Error: 1", "Runtime Error: 2"),
        ("Runtime Error: 1\n", "Runtime Error: 1\n  🚫 Network Error: 1\n"),
        ("optimiser.py", "engine.py"),
        ("IndexError", "KeyError"),
        ("= SUMMARY =", "= FAILURES ="),
    ],
)
def test_every_other_error_counts(instead_of: str, there: str) -> None:
    assert not hypothesis_failed(BY_ITSELF.replace(instead_of, there))
