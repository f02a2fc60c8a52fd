"""The fleet page when instances go: it names those who were lost, and is not content with who is left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.page.test_page import verdict
from tests.support.browser import tab, violations
from tests.support.instances import InstanceProcess
from tests.support.page import Fleet, running

pytestmark = pytest.mark.lasting

WITHIN = 30.0

VERDICT = """async ([members, expected, departed]) => {
    const { verdict } = await import("/page/verdict.js");
    const fresh = { fresh: true, proof_age: 0.2, bound: 8, slot: 0, why_not: "", watch_up: true, draining: false };
    const rows = members.map((address) => ({ address, slot: 0, state: fresh, why_not: "" }));
    return verdict({ members: rows, expected, departed });
}"""


def gone(how: str, address: str = "", ago: int = 60, slot: int | None = 7) -> dict[str, object]:
    return {"how": how, "address": address, "seconds_ago": ago, "slot": slot}


WELL = "All is well: the only instance proven fresh within the last 0.2 s."


@pytest.mark.fault("3 of 4 instances killed")
def test_with_three_of_four_killed_the_page_says_who_was_lost(browser: Browser, tmp_path: Path) -> None:
    """On the page that was open, and on that of an instance which was started afterwards."""
    with running(tmp_path, 4, LEASE_TTL="2") as fleet:
        for instance in fleet.instances:
            instance.wait_for_slot()
        with tab(browser, fleet.url) as page:
            verdict(page, "All is well: all 4 instances")
            expect(page.locator("#departed-details")).to_be_hidden()
            for instance in fleet.instances[1:]:
                instance.kill()
            verdict(page, "3 instances were lost, the last", within=WITHIN)
            verdict(page, "1 instance is left.")
            expect(page.locator("#verdict.bad")).to_be_visible()
            rows = page.locator("#departed tbody tr")
            expect(rows).to_have_count(3)
            for instance in fleet.instances[1:]:
                expect(page.locator("#verdict")).to_contain_text(f"127.0.0.1:{instance.port}")
                row = rows.filter(has_text=f"127.0.0.1:{instance.port}")
                expect(row).to_contain_text("lost: killed, hung or cut off")
            assert violations(page) == []
        late = InstanceProcess(tmp_path / "late", **fleet.etcd.settings("/page"), EXPECTED_INSTANCES="4")
        with late, tab(browser, f"{late.url}/") as page:
            verdict(page, "2 of 4 expected instances are here. 3 instances were lost", within=WITHIN)
            expect(page.locator("#verdict.bad")).to_be_visible()
            expect(page.locator("#figures")).to_contain_text("of 4 expected")


def test_with_one_that_left_in_order_all_is_well(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, 2, LEASE_TTL="2") as fleet, tab(browser, fleet.url) as page:
        verdict(page, "All is well: all 2 instances")
        fleet.instances[1].stop()
        verdict(page, "All is well: the only instance")
        expect(page.locator("#departed tbody tr")).to_contain_text("left in order")


HELD = """async (lags) => {
    const { verdict } = await import("/page/verdict.js");
    const fresh = { fresh: true, proof_age: 0.2, bound: 8, slot: 0, why_not: "", watch_up: true, draining: false };
    const rows = lags.map((loop_lag) => ({ address: "a", slot: 0, state: { ...fresh, loop_lag }, why_not: "" }));
    return verdict({ members: rows, expected: 0, departed: [] });
}"""


def test_the_page_tells_of_a_loop_that_is_held(browser: Browser, fleet: Fleet) -> None:
    """From the alert's threshold on. An instance of an earlier release says nothing of it."""
    with tab(browser, fleet.url) as page:
        expect(page.locator("#figures")).to_contain_text(re.compile(r"Loop lag[\d.]+ m?s"))
        assert page.evaluate(HELD, [0.01, 0.5, None])["level"] == "good"
        assert page.evaluate(HELD, [0.01, 0.75, 0.65]) == {
            "level": "careful",
            "text": "2 instances are held up, for 750 ms at worst.",
        }


@pytest.mark.parametrize(
    ("here", "expected", "departed", "level", "text"),
    [
        (["a"], 0, [], "good", WELL),
        (["a"], 0, [gone("left", "b")], "good", WELL),
        (["a"], 1, [gone("left", "b")], "good", WELL),
        (["a"], 2, [gone("left", "b")], "bad", "1 of 2 expected instances is here."),
        (["a", "c"], 0, [gone("lost", "b")], "careful", "1 instance was lost, the last 60 s ago: b."),
        (["a"], 0, [gone("lost", "b")], "bad", "1 instance was lost, the last 60 s ago: b. 1 instance is left."),
        (["a"], 0, [gone("lost", slot=None), gone("lost")], "bad",
         "2 instances were lost, the last 60 s ago: slot none and slot 7. 1 instance is left."),
        (["a", "b"], 3, [gone("lost", c, 7200) for c in "cdefg"], "bad",
         "2 of 3 expected instances are here. 5 instances were lost, the last 2 h ago: c, d, e and 2 more."),
        (["a"], 0, [gone("lost", "a")], "good", f"{WELL} 1 instance was lost within the last hour, and replaced."),
        (["a", "c"], 2, [gone("lost", "b")], "good",
         "All is well: all 2 instances proven fresh within the last 0.2 s. "
         "1 instance was lost within the last hour, and replaced."),
        (["a"], 0, [gone("back", "a")], "good", f"{WELL} 1 instance was lost for a while, and back."),
    ],
)  # fmt: skip
def test_the_verdict_weighs_who_has_gone(
    browser: Browser, fleet: Fleet, here: list[str], expected: int, departed: list[object], level: str, text: str
) -> None:
    with tab(browser, fleet.url) as page:
        assert page.evaluate(VERDICT, [here, expected, departed]) == {"level": level, "text": text}
