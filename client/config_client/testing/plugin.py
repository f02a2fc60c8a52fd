"""A pytest plugin: the fixture `fake_config`. Nothing else is loaded before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from config_client.testing.fake import FakeConfig


@pytest.fixture
def fake_config() -> Iterator[FakeConfig]:
    """A `FakeConfig` without documents and without a prefix, closed afterwards."""
    from config_client.testing.fake import FakeConfig

    with FakeConfig() as fake:
        yield fake
