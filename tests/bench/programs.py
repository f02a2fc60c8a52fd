"""Programs that the bench needs and that Python can't install."""

from __future__ import annotations

import os

import pytest

from bench.programs import explain_missing


def need(*programs: str) -> None:
    """Skips the test where one is not installed; in CI they have to be there."""
    missing = explain_missing(programs)
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
