"""The fleet page in a real browser: what it shows of a real fleet, and what can be done with it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.browser import tab, violations
from tests.support.instances import within
from tests.support.page import BOUND, Fleet, link, press, running

TOKEN = "operator-0123456789"
TOKENS = json.dumps([{"name": "operator", "token": TOKEN, "scopes": ["observe", "read", "write"]}])


def opened(page: Page, key: str) -> Page:
    """The document `key`, as it is listed and chosen."""
    page.locator("#key-list").get_by_role("link", name=key, exact=True).click()
    expect(page.locator("#document-title")).to_have_text(key)
    page.wait_for_selector("#value")
    return page


WELL = re.compile("All is well|instances? (is|are) held up")
"""The latter of an instance that was paused: for half a minute it tells for how long its loop has stood."""


def verdict(page: Page, text: str | re.Pattern[str], within: float = 15.0) -> None:
    expect(page.locator("#verdict")).to_contain_text(text, timeout=within * 1000)


def test_a_write_on_one_instance_appears_on_anothers_page(browser: Browser, fleet: Fleet) -> None:
    """In the list, and in the document that is open; nobody has to load anything anew."""
    fleet.write("shared/limit", '{"limit": 1}')
    with tab(browser, fleet.url) as page:
        opened(page, "shared/limit")
        expect(page.locator("#value")).to_contain_text('"limit": 1')
        revision = fleet.write("shared/limit", '{"limit": 2}')
        expect(page.locator("#value")).to_contain_text('"limit": 2')
        expect(page.locator("#facts")).to_contain_text(f"Revision {revision} ")
        fleet.write("shared/new", "1")
        expect(page.locator("#key-list")).to_contain_text("shared/new")
        verdict(page, "All is well: all 2 instances")
        expect(page.locator("#slots li:not(.free)")).to_have_count(2)
        expect(page.locator("#members tbody tr")).to_have_count(2)


def place(aim: Locator) -> list[float]:
    """Where it begins, in pixels."""
    box = aim.bounding_box()
    assert box is not None
    return [box["x"], box["y"]]


@pytest.mark.parametrize("size", [(1280, 900), (800, 900), (360, 740)], ids=["wide", "narrow", "phone"])
def test_keys_and_documents_stay_where_they_are_when_the_first_states_come(
    browser: Browser, fleet: Fleet, size: tuple[int, int]
) -> None:
    """1. Somebody aims at a key; 2. the states come, and what is above it grows; 3. the click goes elsewhere."""
    fleet.write("aimed-at", "1")
    fleet.write("views", "1")
    with tab(browser, fleet.url, viewport={"width": size[0], "height": size[1]}) as page:
        verdict(page, "All is well", within=45)  # of a loop that stood it is told for half a minute, in more words
        page.goto("about:blank")  # nothing that this page has asked for is held
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/members/states*", hold)
        page.goto(fleet.url)
        link = page.locator("#key-list").get_by_role("link", name="aimed-at", exact=True)
        expect(link).to_be_visible()
        expect(page.locator("#members tbody tr")).to_have_count(0)
        aims = (link, page.locator("#document-title"))
        places = [place(aim) for aim in aims]
        for route in held:
            route.continue_()
        page.unroute("**/members/states*")
        expect(page.locator("#members tbody tr")).to_have_count(2)
        assert [place(aim) for aim in aims] == [pytest.approx(each, abs=0.5) for each in places]


def test_a_conflicting_edit_is_refused_and_both_versions_are_shown(browser: Browser, fleet: Fleet) -> None:
    """Nothing is overwritten unless it has been seen; and then what was seen is what is written over."""
    fleet.write("conflict", '{"limit": 1}')
    with tab(browser, fleet.url + link("conflict")) as page:
        press(page, "Edit")
        theirs = fleet.write("conflict", '{"limit": 20}')
        page.fill("#text", '{\n  "limit": 300\n}')
        press(page, "Save")
        sides = page.locator("#conflict .sides")
        expect(sides).to_contain_text(f"Now: revision {theirs}")
        expect(sides.locator(".gone")).to_contain_text('"limit": 20')
        expect(sides.locator(".come")).to_contain_text('"limit": 300')
        assert fleet.instances[0].get("conflict").text == '{"limit": 20}'
        press(page, "Keep mine, over theirs")
        press(page, "Save")
        expect(page.locator("#value")).to_contain_text('"limit": 300')
        assert fleet.instances[0].get("conflict").json() == {"limit": 300}


def test_an_edit_of_what_is_deleted_meanwhile_is_refused_too(browser: Browser, fleet: Fleet) -> None:
    fleet.write("vanishing", "1")
    with tab(browser, fleet.url + link("vanishing")) as page:
        press(page, "Edit")
        fleet.instances[1].delete("vanishing")
        page.fill("#text", "2")
        press(page, "Save")
        expect(page.locator("#conflict")).to_contain_text("Now: deleted")
        press(page, "Keep mine, over theirs")
        press(page, "Save")
        expect(page.locator("#value")).to_have_text("2")


def test_what_is_not_json_is_said_before_it_is_sent(browser: Browser, fleet: Fleet) -> None:
    with tab(browser, fleet.url + link("team/new one")) as page:
        press(page, "Write it …")
        page.fill("#text", "{")
        expect(page.locator("#problem")).to_contain_text("This is not JSON")
        press(page, "Save")
        expect(page.locator("#text")).to_be_focused()
        page.fill("#text", '{"a": "<b onclick=alert(1)>&amp;</b>"}')
        press(page, "Save")
        expect(page.locator("#value")).to_contain_text("<b onclick=alert(1)>&amp;</b>")
        assert page.locator("#value b").count() == 0


def test_deleting_asks_first_and_can_be_undone(browser: Browser, fleet: Fleet) -> None:
    fleet.write("doomed", '"x"')
    with tab(browser, fleet.url + link("doomed")) as page:
        press(page, "Delete …")
        page.keyboard.press("Escape")
        expect(page.locator("#value")).to_have_text('"x"')
        assert fleet.instances[0].get("doomed").status_code == 200
        press(page, "Delete …")
        press(page, "Delete")
        expect(page.locator("#below")).to_contain_text("Deleted at revision")
        assert fleet.instances[0].get("doomed", params={"use_cache": "false"}).status_code == 404
        press(page, "Put it back")
        expect(page.locator("#value")).to_have_text('"x"')
        assert fleet.instances[0].get("doomed", params={"use_cache": "false"}).text == '"x"'


def keeps_history(fleet: Fleet) -> bool:
    """From some seconds after the first instance's start on: what is written before may have left no record."""
    fleet.write("begun", "1")
    return fleet.instances[0].request("GET", "/history/begun").json()["exact_from"] is not None


def test_history_tells_who_when_why_and_what_and_restores(browser: Browser, fleet: Fleet) -> None:
    """Records outlive what etcd compacts; and a document that was deleted comes back from them."""
    assert within(15, lambda: keeps_history(fleet))
    first = fleet.write("history", '{"a": 1, "b": 1}')
    fleet.write("history", '{"a": 1, "b": 2}')
    third = fleet.instances[0].put("history", b'{"a": 1, "b": 3}', headers={"X-Change-Reason": "twice the <load>"})
    newest = int(third.headers["X-Config-Revision"])
    fleet.etcd.etcdctl("compact", str(newest))
    with tab(browser, fleet.url + link("history")) as page:
        press(page, "History")
        items = page.locator(".past > li")
        expect(items).to_have_count(3)
        expect(items.nth(0).locator("summary")).to_contain_text(f"Revision {newest} written")
        expect(items.nth(0).locator("summary")).to_contain_text("\u201ctwice the <load>\u201d")
        expect(items.nth(0).locator(".gone")).to_contain_text('"b": 2')
        expect(items.nth(0).locator(".come")).to_contain_text('"b": 3')
        expect(items.nth(0).get_by_role("button")).to_have_text("Restore what was before")
        expect(page.locator("#below")).to_contain_text(f"Before revision {first} it was not there.")
        items.nth(2).locator("summary").click()
        items.nth(2).get_by_role("button", name="Restore this").click()
        expect(page.locator("#below")).to_contain_text(f"as it was at revision {first}")
        expect(page.locator("#value")).to_contain_text('"b": 1')
        assert fleet.instances[1].get("history", params={"use_cache": "false"}).json() == {"a": 1, "b": 1}
        fleet.instances[1].delete("history")
        expect(page.locator("#value")).to_have_count(0)
        press(page, "History")
        expect(items.nth(0).locator("summary")).to_contain_text("deleted")
        press(page, "Restore what was before")
        expect(page.locator("#value")).to_contain_text('"b": 1')


def test_history_that_fails_on_the_way_goes_on_when_it_is_asked_again(browser: Browser, fleet: Fleet) -> None:
    """Nothing of it is skipped, and nothing is shown twice."""
    revisions = [fleet.write("halting", f"{number}") for number in range(23)]
    fails = True
    with tab(browser, fleet.url + link("halting")) as page:
        page.route("**/history/halting?before=*", lambda route: route.abort() if fails else route.continue_())
        page.route("**/config/halting?revision=*", lambda route: route.abort() if fails else route.continue_())
        press(page, "History")
        items = page.locator(".past > li")
        expect(items.nth(0)).to_contain_text("did not answer")
        for _ in range(4):
            press(page, "Earlier")
        expect(items).to_have_count(20)
        expect(page.locator("#below")).to_contain_text("did not answer")
        fails = False
        press(page, "Earlier")
        expect(items).to_have_count(23)
        shown = [summary.split()[1] for summary in page.locator(".past summary").all_inner_texts()]
        assert shown == [str(revision) for revision in reversed(revisions)]
        items.nth(0).locator("summary").click()
        items.nth(0).locator("summary").click()
        expect(items.nth(0).locator(".come")).to_contain_text("22")


def test_history_without_records_is_what_etcd_still_has(browser: Browser, fleet: Fleet) -> None:
    """Of writes past the service, too."""
    revisions = []
    for number in range(3):
        fleet.plant("unrecorded", b"%d" % number)
        answer = fleet.instances[0].get("unrecorded", params={"use_cache": "false"})
        revisions.append(answer.headers["ETag"].strip('"'))
    with tab(browser, fleet.url + link("unrecorded")) as page:
        press(page, "History")

        def listed() -> list[str]:
            return [summary.split()[1] for summary in page.locator(".past summary").all_inner_texts()]

        def shown() -> list[str]:
            """Without what an audit notes of these writes, sooner or later: it has a revision of its own."""
            return [each for each in listed() if each in revisions]

        assert within(5, lambda: shown() == revisions[::-1])
        newest = page.locator(".past details", has=page.locator("summary", has_text=f"Revision {revisions[-1]} "))
        if newest.get_attribute("open") is None:  # what an audit notes came first
            newest.locator("summary").click()
        expect(newest.locator(".gone")).to_contain_text("1")
        fleet.etcd.etcdctl("compact", revisions[1])
        press(page, "History")
        assert within(5, lambda: shown() == revisions[:0:-1])
        expect(page.locator("#below")).to_contain_text("What was before is not kept.")


def test_who_serves_what_is_told_of_every_instance(browser: Browser, fleet: Fleet) -> None:
    """Those who don't answer, too."""
    revision = fleet.write("everywhere", '"v"')
    with tab(browser, fleet.url + link("everywhere")) as page:
        press(page, "Who serves what")
        rows = page.locator("#everywhere tbody tr")
        expect(rows).to_have_count(2)
        for instance in fleet.instances:  # in the order of their slots, which is not that of their starts
            row = rows.filter(has_text=f":{instance.port}")
            expect(row).to_contain_text(f"{instance.port}200 ")
            expect(row).to_contain_text(f"{revision}")
        fleet.instances[1].pause()
        try:
            press(page, "Who serves what")
            expect(page.locator("#everywhere .behind")).to_contain_text("no answer within 1.5 s")
            verdict(page, "1 instance does not answer")
        finally:
            fleet.instances[1].resume()
        verdict(page, WELL)


@pytest.mark.lasting
def test_with_etcd_away_the_page_says_so_within_the_bound(browser: Browser, fleet: Fleet) -> None:
    with tab(browser, fleet.url) as page:
        verdict(page, WELL)
        fleet.etcd.pause()
        try:
            paused = time.monotonic()
            verdict(page, re.compile("etcd (is slow or away|has not answered)"))
            assert time.monotonic() - paused < BOUND
            verdict(page, "etcd has not answered for")
            expect(page.locator("#slots .bad")).to_have_count(2)
        finally:
            fleet.etcd.resume()
        verdict(page, WELL)


def test_a_page_that_hears_nothing_says_so(browser: Browser, fleet: Fleet) -> None:
    """What it shows is then from before, and looks like it."""
    with tab(browser, fleet.url) as page:
        verdict(page, WELL)
        fleet.instances[0].pause()
        try:
            verdict(page, re.compile(r"does not answer.*What is shown is from \d\d:\d\d:\d\d"))
            expect(page.locator("body")).to_have_class("stale")
        finally:
            fleet.instances[0].resume()
        verdict(page, WELL)
        expect(page.locator("body")).not_to_have_class("stale")


def kept(page: Page) -> str:
    """Whatever a browser could hold of it beyond the page itself."""
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    return f"{stored} {page.context.cookies()} {page.content()}"


def test_with_tokens_it_asks_for_one_and_keeps_it_nowhere(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, 1, API_TOKENS=TOKENS) as fleet:
        fleet.instances[0].token = TOKEN
        fleet.instances[0].wait_for_slot()
        fleet.write("secret", '"hidden"', 0)
        with tab(browser, fleet.url) as page:
            dialog = page.locator("#token-dialog")
            expect(dialog).to_be_visible()
            verdict(page, "only with a token")
            page.fill("#token", "wrong-0123456789-wrong")
            press(page, "Use it")
            expect(dialog).to_contain_text("none of those that are let in")
            page.fill("#token", TOKEN)
            press(page, "Use it")
            verdict(page, "All is well: the only instance")
            expect(opened(page, "secret").locator("#value")).to_have_text('"hidden"')
            assert TOKEN not in kept(page)
            page.reload()
            expect(dialog).to_be_visible()
            assert "hidden" not in page.locator("main").inner_text()
            press(page, "Not now")
            verdict(page, "only with a token")


@pytest.mark.lasting
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(browser: Browser, fleet: Fleet, scheme: str) -> None:
    fleet.write("views", '{"a": 1}')
    fleet.write("views", '{"a": 2}')
    with tab(browser, fleet.url, color_scheme=scheme) as page:
        verdict(page, WELL)
        assert violations(page) == []
        opened(page, "views")
        press(page, "History")
        expect(page.locator(".past > li")).not_to_have_count(0)
        assert violations(page) == []
        press(page, "Who serves what")
        page.wait_for_selector("#everywhere")
        assert violations(page) == []
        press(page, "Delete …")
        assert violations(page) == []
        page.keyboard.press("Escape")
        press(page, "Edit")
        fleet.write("views", '{"a": 3}')
        page.fill("#text", "4")
        press(page, "Save")
        page.wait_for_selector("#conflict-title")
        assert violations(page) == []


def test_it_is_used_with_the_keyboard_alone(browser: Browser, fleet: Fleet) -> None:
    """From the top to an edited document, by Tab, Enter and typing."""
    fleet.write("aa-first", "1")
    with tab(browser, fleet.url) as page:
        expect(page.locator("#key-list a").first).to_have_text("aa-first")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        for _ in range(4):
            if page.evaluate("document.activeElement.textContent") == "aa-first":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#document-title")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#text")).to_be_focused()
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type("2")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#value")).to_have_text("2")


def test_on_a_phone_nothing_is_cut_off(browser: Browser, fleet: Fleet) -> None:
    fleet.write("phone/" + "long" * 40, json.dumps({"text": "wide" * 200}))
    with tab(browser, fleet.url + link("phone/" + "long" * 40), viewport={"width": 360, "height": 740}) as page:
        page.wait_for_selector("#value")
        verdict(page, WELL)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_api_is_readable_in_a_browser(browser: Browser, fleet: Fleet) -> None:
    """Swagger UI, under its own policy."""
    with tab(browser, fleet.url + "docs") as page:
        expect(page.locator(".opblock")).not_to_have_count(0)
        expect(page.locator("#description")).to_contain_text("/config/{key}")


DIFF = """async ([before, after]) => {
    const { diff } = await import("/page/diff.js");
    return diff(before, after).map(({ left, right, same }) => [left, right, same]);
}"""


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        ("a\nb\nc", "a\nB\nc", [["a", "a", True], ["b", "B", False], ["c", "c", True]]),
        ("a\nc", "a\nb\nc", [["a", "a", True], [None, "b", False], ["c", "c", True]]),
        ("a\nb\nc", "b", [["a", None, False], ["b", "b", True], ["c", None, False]]),
        ("", "x", [["", "x", False]]),
        ("same", "same", [["same", "same", True]]),
        ("x\na\ny\nb", "a\nz\nb", [["x", None, False], ["a", "a", True], ["y", "z", False], ["b", "b", True]]),
    ],
)
def test_lines_that_differ_are_found(
    browser: Browser, fleet: Fleet, before: str, after: str, rows: list[list[object]]
) -> None:
    with tab(browser, fleet.url) as page:
        assert page.evaluate(DIFF, [before, after]) == rows
