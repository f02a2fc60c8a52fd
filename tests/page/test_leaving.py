"""A user who leaves an editor with unsaved changes is asked first, whichever way out; nobody else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from tests.page.test_page import opened
from tests.support.browser import tab
from tests.support.page import Fleet, link, press

pytestmark = pytest.mark.lasting


def follow(page: Page, key: str) -> None:
    page.locator("#key-list").get_by_role("link", name=key, exact=True).click()


WAYS: dict[str, tuple[Callable[[Page], object], str]] = {
    "Cancel": (lambda page: press(page, "Cancel"), "leaving/first"),
    "Escape": (lambda page: page.locator("#text").press("Escape"), "leaving/first"),
    "another key": (lambda page: follow(page, "leaving/other"), "leaving/other"),
    "back": (lambda page: page.go_back(), "leaving/before"),
    "the title": (lambda page: page.get_by_role("link", name="Configuration", exact=True).click(), "Document"),
    "an address": (lambda page: page.evaluate("location.hash = '#/key/leaving%2Fother'"), "leaving/other"),
}
"""How one leaves, and the heading of where that leads."""


@pytest.fixture
def keys(fleet: Fleet) -> list[str]:
    names = ["leaving/before", "leaving/first", "leaving/other"]
    for name in names:
        fleet.write(name, f'"{name}"')
    return names


def editing(page: Page, changed: str = "") -> None:
    """The document leaving/first, after leaving/before, with this in the field, if anything."""
    opened(page, "leaving/before")
    follow(page, "leaving/first")
    expect(page.locator("#value")).to_have_text('"leaving/first"')
    press(page, "Edit")
    if changed:
        page.fill("#text", changed)


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("way", WAYS)
def test_changes_are_kept_until_they_may_go(browser: Browser, fleet: Fleet, way: str) -> None:
    leave, there = WAYS[way]
    with tab(browser, fleet.url) as page:
        editing(page, '"mine"')
        at = page.url
        for answer in ("Go on editing", "Escape", "Enter"):
            leave(page)
            expect(page.locator("#question")).to_contain_text("What you have changed in leaving/first would be lost")
            expect(page.locator("#question-no")).to_be_focused()
            if answer in ("Escape", "Enter"):
                page.keyboard.press(answer)
            else:
                press(page, answer)
            expect(page.locator("#question")).to_be_hidden()
            expect(page.locator("#text")).to_have_value('"mine"')
            assert page.url == at
        leave(page)
        press(page, "Discard my changes")
        expect(page.locator("#document-title")).to_have_text(there)
        expect(page.locator("#text")).to_have_count(0)
    assert fleet.stored("leaving/first") == b'"leaving/first"'


@pytest.mark.usefixtures("keys")
def test_who_is_asked_again_at_once_is_heard_again(browser: Browser, fleet: Fleet) -> None:
    """A dialog says a moment after it has closed that it did; the next question must not take that for its own end."""
    with tab(browser, fleet.url) as page:
        editing(page, '"mine"')
        press(page, "Cancel")
        page.evaluate("""() => {
            document.getElementById("question-no").click();
            [...document.querySelectorAll("button")].find((button) => button.textContent === "Cancel").click();
        }""")
        expect(page.locator("#question-no")).to_be_focused()
        press(page, "Go on editing")
        expect(page.locator("#question")).to_be_hidden()
        expect(page.locator("#text")).to_have_value('"mine"')


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("way", WAYS)
def test_without_a_change_nothing_is_asked(browser: Browser, fleet: Fleet, way: str) -> None:
    """The same holds when a change was taken back."""
    leave, there = WAYS[way]
    with tab(browser, fleet.url) as page:
        editing(page, '"mine"')
        page.fill("#text", '"leaving/first"')
        leave(page)
        expect(page.locator("#document-title")).to_have_text(there)
        expect(page.locator("#text")).to_have_count(0)
        expect(page.locator("#question")).to_be_hidden()


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(("changed", "asked"), [('"mine"', ["beforeunload"]), ("", [])])
def test_the_browser_asks_before_the_page_goes(browser: Browser, fleet: Fleet, changed: str, asked: list[str]) -> None:
    """The tab is closed, or loaded anew."""
    with tab(browser, fleet.url) as page:
        editing(page, changed)
        page.locator("#text").press("End")
        heard: list[str] = []

        def accept(dialog: Dialog) -> None:
            heard.append(dialog.type)
            dialog.accept()

        page.on("dialog", accept)
        page.reload()
        expect(page.locator("#value")).to_have_text('"leaving/first"')
        assert heard == asked


@pytest.mark.usefixtures("keys")
def test_what_is_saved_is_no_longer_asked_about(browser: Browser, fleet: Fleet) -> None:
    with tab(browser, fleet.url) as page:
        editing(page, '"saved"')
        press(page, "Save")
        expect(page.locator("#below")).to_contain_text("Saved at revision")
        follow(page, "leaving/other")
        expect(page.locator("#value")).to_have_text('"leaving/other"')
        page.go_back()
        expect(page.locator("#value")).to_have_text('"saved"')


def test_what_a_button_replaced_can_be_had_again(browser: Browser, fleet: Fleet) -> None:
    """One's own text, too, when one has started over from somebody else's; and then it is unsaved as before."""
    fleet.write("leaving/conflict", "1")
    with tab(browser, fleet.url + link("leaving/conflict")) as page:
        press(page, "Edit")
        fleet.write("leaving/conflict", "[2.0,\n\n2]")
        page.fill("#text", "3")
        press(page, "Save")
        press(page, "Start over from theirs")
        expect(page.locator("#text")).to_have_value("[2.0,\n\n2]")
        press(page, "Undo")
        expect(page.locator("#text")).to_have_value("3")
        press(page, "Cancel")
        expect(page.locator("#question")).to_be_visible()
        press(page, "Go on editing")
        press(page, "Save")
        expect(page.locator("#value")).to_have_text("3")
