"""One browser, and fleets of two with an etcd of their own, which tests may pause."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import chromium
from tests.support.page import Fleet, running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this folder and no longer: while there is one, a loop runs on the tests' thread, where others would wait."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running(tmp_path_factory.mktemp("page"), 2) as started:
        for instance in started.instances:
            instance.wait_for_slot()
        yield started
