"""The page is told of changes: by the stream of one instance, whichever has written, and it asks for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.page.test_page import TOKEN, TOKENS, opened, verdict
from tests.support.browser import tab, violations
from tests.support.instances import within
from tests.support.page import BOUND, PREFIX, Fleet, link, press, running
from tests.support.silent import announced

pytestmark = pytest.mark.lasting

UNPROVEN = "It may have changed: the service can't prove at the moment that this is the latest version."
SOME_TOKEN = "team-0123456789-0123"
SOME = json.dumps([*json.loads(TOKENS), {"name": "team", "token": SOME_TOKEN, "scopes": ["read"], "prefix": "team/"}])
FOLLOWING = "async () => (await import('/page/changes.js')).isTelling()"


STATES = "async () => (await (await import('/page/api.js')).ask('/members/states?recent=true')).text"


@contextmanager
def frozen(page: Page) -> Iterator[None]:
    """For so long, the states of the fleet are told to this page as they were: they say nothing of changes."""
    body = page.evaluate(STATES)
    page.route(
        "**/members/states*", lambda route: route.fulfill(status=200, content_type="application/json", body=body)
    )
    yield
    page.unroute_all(behavior="wait")


def asked(page: Page, part: str) -> Callable[[], int]:
    """How many requests of the page have had this in their address from now on."""
    found: list[str] = []

    def note(request: Request) -> None:
        if part in request.url:
            found.append(request.url)

    page.on("request", note)
    return lambda: len(found)


def follows(page: Page) -> bool:
    return within(15, lambda: bool(page.evaluate(FOLLOWING)))


def test_a_change_by_another_instance_is_told_though_the_states_say_nothing(browser: Browser, fleet: Fleet) -> None:
    """The document that is open, and the list: within the bound, and without a look in between."""
    fleet.write("followed/limit", "1")
    fleet.write("followed/other", "1")
    with tab(browser, fleet.url) as page, frozen(page):
        opened(page, "followed/limit")
        assert follows(page)
        fleet.write("followed/other", "2")
        revision = fleet.write("followed/limit", "[2]")
        expect(page.locator("#value")).to_have_text("[\n  2\n]", timeout=BOUND * 1000)
        expect(page.locator("#facts")).to_contain_text(f"Revision {revision} ")
        expect(page.locator("#key-list")).to_contain_text(f"{revision}", timeout=BOUND * 1000)
        reads = asked(page, "/config/followed/limit")
        fleet.write("followed/other", "3")
        fleet.write("followed/new", "1")
        expect(page.locator("#key-list")).to_contain_text("followed/new", timeout=BOUND * 1000)
        assert reads() == 0, "that others have changed is no reason"
        fleet.instances[1].delete("followed/limit")
        expect(page.locator("#facts")).to_contain_text("There is no such key", timeout=BOUND * 1000)


def test_it_passes_over_what_is_only_announced(browser: Browser, tmp_path: Path) -> None:
    """Guarded keys are written in two steps: the page tells of the second one, by the same stream."""
    with running(tmp_path, 1, CACHE_STALENESS_BOUND="3") as fleet:
        (instance,) = fleet.instances
        instance.wait_for_slot()
        guarded = instance.request("PUT", "/policy", data=b'{"guarded": ["g/"]}', headers={"If-None-Match": "*"})
        assert guarded.status_code == 201
        at = fleet.write("g/limit", "1", 0)
        with tab(browser, fleet.url + link("g/limit")) as page, frozen(page):
            expect(page.locator("#value")).to_have_text("1")
            assert follows(page)
            streams = asked(page, "/changes?")
            addresses: list[str] = []
            page.on("request", lambda request: addresses.append(request.url))
            with announced(fleet.etcd, PREFIX, lambda: fleet.write("g/limit", "2", 0)) as (writing, held_at):
                assert within(2, lambda: int(instance.get("g/limit").headers["X-Config-Revision"]) >= held_at)
                expect(page.locator("#value")).to_have_text("1")
                expect(page.locator("#facts")).to_contain_text(f"Revision {at} ")
                assert not writing.done()
                assert not any(f"min_revision={held_at}" in address for address in addresses), "nothing has changed"
            expect(page.locator("#value")).to_have_text("2", timeout=BOUND * 1000)
            expect(page.locator("#facts")).to_contain_text(f"Revision {writing.result()} ")
            assert streams() == 0
            assert violations(page) == []


def test_it_says_when_proofs_stop_and_when_they_are_back(browser: Browser, fleet: Fleet) -> None:
    """Silence is not taken for "nothing has changed". What was written meanwhile comes by itself."""
    fleet.write("followed/proven", "1")
    with tab(browser, fleet.url + link("followed/proven")) as page:
        expect(page.locator("#value")).to_have_text("1")
        assert follows(page)
        fleet.etcd.pause()
        try:
            expect(page.locator("#old")).to_have_text(UNPROVEN, timeout=(BOUND + 12) * 1000)
            expect(page.locator("#document-body")).to_have_class("old")
            expect(page.locator("#value")).to_have_text("1")
            assert violations(page) == []
        finally:
            fleet.etcd.resume()
        expect(page.locator("#old")).to_be_hidden(timeout=20_000)
        expect(page.locator("#document-body")).not_to_have_class("old")
        verdict(page, re.compile("All is well|held up"), within=30)
        fleet.write("followed/proven", "2")
        expect(page.locator("#value")).to_have_text("2", timeout=BOUND * 1000)


def test_what_was_written_while_nobody_looked_is_told_afterwards(browser: Browser, fleet: Fleet) -> None:
    """A page that is hidden keeps no connection; it goes on from where it was told to."""
    fleet.write("followed/hidden", "1")
    with tab(browser, fleet.url + link("followed/hidden")) as page, frozen(page):
        expect(page.locator("#value")).to_have_text("1")
        assert follows(page)
        hide = "hidden => Object.defineProperty(document, 'hidden', { value: hidden, configurable: true })"
        change = "() => document.dispatchEvent(new Event('visibilitychange'))"
        page.evaluate(hide, True)
        page.evaluate(change)
        assert not page.evaluate(FOLLOWING)
        fleet.write("followed/hidden", "2")
        page.evaluate(hide, False)
        streams = asked(page, "/changes?")
        page.evaluate(change)
        expect(page.locator("#value")).to_have_text("2", timeout=BOUND * 1000)
        assert streams() == 1, "with the token that it had"


def test_a_token_is_borne_by_the_stream_too(browser: Browser, tmp_path: Path) -> None:
    """Before there is one, nothing is told, and nothing is asked for again and again."""
    with running(tmp_path, 1, API_TOKENS=TOKENS) as fleet:
        fleet.instances[0].token = TOKEN
        fleet.instances[0].wait_for_slot()
        fleet.write("followed/secret", "1", 0)
        with tab(browser, fleet.url + link("followed/secret")) as page:
            expect(page.locator("#token-dialog")).to_be_visible()
            assert not page.evaluate(FOLLOWING)
            page.fill("#token", TOKEN)
            press(page, "Use it")
            expect(page.locator("#value")).to_have_text("1")
            with frozen(page):
                assert follows(page)
                fleet.write("followed/secret", "2", 0)
                expect(page.locator("#value")).to_have_text("2", timeout=BOUND * 1000)


def test_a_token_for_some_keys_follows_those_though_another_is_open(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, 1, API_TOKENS=SOME) as fleet:
        fleet.instances[0].token = TOKEN
        fleet.instances[0].wait_for_slot()
        fleet.write("other/secret", "1", 0)
        fleet.write("team/app", "1", 0)
        with tab(browser, fleet.url + link("other/secret")) as page:
            page.fill("#token", SOME_TOKEN)
            press(page, "Use it")
            expect(page.locator("#document-body")).to_contain_text("This token is for keys that start with")
            assert follows(page)
            fleet.write("team/new", "1", 0)
            expect(page.locator("#key-list")).to_contain_text("team/new", timeout=BOUND * 1000)
            assert "other" not in page.locator("#key-list").inner_text()


PUT = 'event: put\ndata: {"key": "followed/none", "mod_revision": 1}\n\n'
SYNC = 'event: sync\nid: 1-0\ndata: {"to": "1-0", "revision": 1, "age": 0.1, "more": false}\n\n'

STREAMS: dict[str, tuple[int, str]] = {
    "too many wait": (429, "{}"),
    "it can't be told": (503, "{}"),
    "another history": (410, "{}"),
    "no JSON": (200, "data: <html>\n\n"),
    "all anew, each time": (200, f'{SYNC}event: reset\ndata: {{"cause": "everything"}}\n\n{PUT}'),
    "an event that does not end": (200, "data: " + "x" * 2_000_000),
}
"""What may come in place of a stream that tells of changes."""


@pytest.mark.parametrize("way", STREAMS)
def test_without_a_stream_the_page_looks_for_changes_and_asks_for_one_ever_more_seldom(
    browser: Browser, fleet: Fleet, way: str
) -> None:
    status, body = STREAMS[way]
    fleet.write("followed/looked", "1")
    with tab(browser, fleet.url + link("followed/looked")) as page:
        page.route(
            "**/changes?*",
            lambda route: route.fulfill(status=status, content_type="text/event-stream", body=body),
            times=100,
        )
        page.reload()
        expect(page.locator("#value")).to_have_text("1")
        attempts = asked(page, "/changes?")
        page.wait_for_timeout(3000)
        assert attempts() <= 8, "an answer is no reason to ask again at once"
        fleet.write("followed/looked", "[2]")
        expect(page.locator("#value")).to_have_text("[\n  2\n]", timeout=2 * BOUND * 1000)
        page.unroute_all(behavior="wait")
        assert within(25, lambda: bool(page.evaluate(FOLLOWING))), "and it follows when there is one again"
