"""The page over HTTPS: it is there whole, asks only where it came from, saves, and is told of changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.page.test_following import follows
from tests.page.test_page import opened
from tests.support.browser import tab
from tests.support.https import Https
from tests.support.page import BOUND, running

pytestmark = pytest.mark.lasting


def test_a_document_is_shown_and_a_change_elsewhere_is_told(browser: Browser, tmp_path: Path) -> None:
    """The browser knows nothing of the authority, which is made for this test; instances verify each other."""
    https = Https.made(tmp_path / "tls")
    with running(tmp_path, 2, **https.settings()) as fleet:
        for instance in fleet.instances:
            instance.wait_for_slot()
        fleet.write("secure/limit", "1")
        with tab(browser, fleet.url, ignore_https_errors=True) as page:
            assert page.url.startswith("https://")
            opened(page, "secure/limit")
            assert follows(page)
            fleet.write("secure/limit", "[2]")
            expect(page.locator("#value")).to_have_text("[\n  2\n]", timeout=BOUND * 1000)
            expect(page.locator("#instances tbody tr")).to_have_count(2)
