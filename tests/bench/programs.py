"""Programs that the bench needs and that Python can't install."""

from __future__ import annotations

from bench.programs import explain_missing
from tests.support.unavailable import unavailable


def need(*programs: str) -> None:
    """Skips the test where one is not installed; in CI they have to be there."""
    if missing := explain_missing(programs):
        unavailable(missing)
