"""Each fault is done to real processes, while clients work: company would be one more fault."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """What shows a fault; whether the matrix is complete can be asked at any time."""
    if item.get_closest_marker("fault"):
        item.add_marker(pytest.mark.alone)
