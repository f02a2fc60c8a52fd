"""Fleets of real processes under load, which is counted by etcd: company would change what is counted."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """All of this folder."""
    item.add_marker(pytest.mark.alone)
