"""wrk, which the bench needs and Python can't install."""

from __future__ import annotations

from bench.processes import explain_missing
from tests.support.unavailable import unavailable


def need_wrk() -> None:
    """Skips the test where it is not installed."""
    if missing := explain_missing("wrk"):
        unavailable(missing)
