"""What a test does without a program that Python can't install: it is skipped, and says what to install."""

from __future__ import annotations

import shutil
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skips the test, which says why."""
    pytest.skip(reason)


def need(program: str) -> None:
    """Skips the test where this program is not on PATH; its package has the same name."""
    if shutil.which(program) is None:
        unavailable(f"{program} is not installed: apt-get install {program}")
