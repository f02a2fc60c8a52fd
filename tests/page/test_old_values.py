"""What can't be read again stays on view as what it is: old, and how old. And revisions of any size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.test_page import opened, verdict
from tests.support.browser import tab, violations
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within
from tests.support.page import BOUND, PREFIX, Fleet, link, press

pytestmark = pytest.mark.lasting


def age(page: Page) -> float:
    """As it is told of the document, in seconds."""
    found = re.search(r"^Old: .*, ([\d.]+) s ago, and not read since$", page.locator("#facts").inner_text())
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_last_value_stays_marked_as_old_with_its_age(browser: Browser, fleet: Fleet, scheme: str) -> None:
    """Nothing is said of what was changed or not: nobody wanted to. When it can be read again it is read by itself."""
    fleet.write("old/value", '{"limit": 1.0}')
    fleet.write("old/value", '{"limit": 2.0}')
    with tab(browser, fleet.url + link("old/value"), color_scheme=scheme) as page:
        press(page, "History")
        expect(page.locator(".past > li")).not_to_have_count(0)
        fleet.etcd.pause()
        try:
            verdict(page, "etcd has not answered for")
            page.evaluate("async () => (await import('/page/viewer.js')).reload()")
            expect(page.locator("#old")).to_contain_text("It could not be read again.", timeout=20_000)
            expect(page.locator("#value")).to_have_text('{\n  "limit": 2.0\n}')
            expect(page.locator(".past > li")).not_to_have_count(0)
            first = age(page)
            assert first >= BOUND
            assert within(10, lambda: age(page) > first)
            assert "hanged" not in page.locator("#document").inner_text()
            assert violations(page) == []
        finally:
            fleet.etcd.resume()
        expect(page.locator("#old")).to_be_hidden(timeout=20_000)
        expect(page.locator("#facts")).to_contain_text("read at")
        expect(page.locator("#document-body")).not_to_have_class("old")


def test_a_service_that_is_gone_makes_the_document_old_too(browser: Browser, fleet: Fleet) -> None:
    """And whoever opens another one is not shown this one's value beneath that name."""
    fleet.write("old/gone", "1")
    fleet.write("old/other", "2")
    with tab(browser, fleet.url + link("old/gone")) as page:
        expect(page.locator("#value")).to_have_text("1")
        fleet.instances[0].pause()
        try:
            expect(page.locator("#old")).to_contain_text("The service did not answer", timeout=30_000)
            assert age(page) > 0
            expect(page.locator("#value")).to_have_text("1")
            page.evaluate("location.hash = '#/key/old%2Fother'")
            expect(page.locator("#document-title")).to_have_text("old/other")
            expect(page.locator("#value")).to_have_count(0)
        finally:
            fleet.instances[0].resume()
        expect(page.locator("#value")).to_have_text("2", timeout=30_000)


def test_the_last_button_of_delete_is_no_place_to_slip(browser: Browser, fleet: Fleet) -> None:
    """It looks like what it does, and Enter presses the other one."""
    fleet.write("old/doomed", "1")
    with tab(browser, fleet.url + link("old/doomed")) as page:
        press(page, "Delete …")
        yes = page.locator("#question-yes")
        expect(yes).to_have_class("danger")
        expect(yes).to_have_css("background-color", "rgb(179, 38, 30)")
        expect(page.locator("#question-no")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#question")).to_be_hidden()
        assert fleet.stored("old/doomed") == b"1"
        press(page, "New …")
        expect(yes).to_have_class("main")
        page.keyboard.press("Escape")


BUMP = 2**53


def test_revisions_that_no_double_holds_are_told_and_compared_exactly(
    browser: Browser, tmp_path: Path, etcd_recent: Path
) -> None:
    """An etcd restored with its revision bumped: neighbours beyond 2^53 are two revisions, everywhere."""
    with EtcdServer(tmp_path / "etcd", program=etcd_recent, durable=True) as etcd:
        etcd.restore_snapshot(etcd.save_snapshot(tmp_path / "db"), f"--bump-revision={BUMP}", "--mark-compacted")
        with InstanceProcess(tmp_path / "one", **etcd.settings(PREFIX), CACHE_STALENESS_BOUND=str(BOUND)) as instance:
            instance.wait_for_slot()
            fleet = Fleet(etcd, [instance])
            written = [fleet.write("large", f"{number}", 0) for number in range(4)]
            assert written[0] > BUMP
            with tab(browser, fleet.url) as page:
                opened(page, "large")
                expect(page.locator("#facts")).to_contain_text(f"Revision {written[3]} ")
                expect(page.locator("#key-list")).to_contain_text(f"{written[3]}")
                expect(page.locator("#figures")).to_contain_text(f"{written[3]:,}")
                press(page, "Who serves what")
                expect(page.locator("#everywhere td").filter(has_text=re.compile(rf"^{written[3]}$"))).to_have_count(2)
                press(page, "History")
                for number, at in enumerate(reversed(written)):
                    expect(page.locator(".past summary").nth(number)).to_contain_text(f"Revision {at} written")
                press(page, "Edit")
                page.fill("#text", "[4]")
                press(page, "Save")
                expect(page.locator("#below")).to_contain_text(f"Saved at revision {written[3] + 1}.")
                press(page, "Delete …")
                press(page, "Delete")
                press(page, "Put it back")
                expect(page.locator("#below")).to_contain_text(f"as it was at revision {written[3] + 1}.")
                assert fleet.stored("large") == b"[4]"
