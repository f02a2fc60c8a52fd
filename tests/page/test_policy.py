"""The policy on the page: shown, tried, replaced; and what it refuses of a document that is edited there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import tab, violations
from tests.support.page import Fleet, link, press, running

pytestmark = pytest.mark.lasting

LIMITS = {"type": "object", "properties": {"limit": {"type": "integer", "maximum": 100}}, "required": ["limit"]}
POLICY = {"schemas": [{"prefix": "team/", "schema": LIMITS}], "reason_required": ["prod/"]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One of its own: a policy binds all that others do."""
    with running(tmp_path_factory.mktemp("policy"), 1) as started:
        started.instances[0].wait_for_slot()
        yield started


@pytest.fixture
def bound(alone: Fleet) -> Fleet:
    """With the policy in force."""
    put(alone, POLICY)
    return alone


def put(fleet: Fleet, policy: object) -> None:
    there = fleet.instances[0].request("GET", "/policy")
    condition = {"If-Match": there.headers["ETag"]} if there.status_code == 200 else {"If-None-Match": "*"}
    answer = fleet.instances[0].request("PUT", "/policy", data=json.dumps(policy).encode(), headers=condition)
    assert answer.status_code in (200, 201), answer.text


def test_a_policy_is_shown_tried_and_replaced(browser: Browser, bound: Fleet) -> None:
    put(bound, {})
    bound.write("team/stored", '{"limit": 1000}', 0)
    with tab(browser, bound.url) as page:
        press(page, "Policy")
        expect(page.locator("#policy-text")).to_have_value("{}")
        page.fill("#policy-text", json.dumps(POLICY))
        press(page, "Try it")
        expect(page.locator("#policy-note")).to_contain_text("team/stored: /limit: expected maximum: 100")
        assert bound.instances[0].request("GET", "/policy").text == "{}"
        assert violations(page) == []
        press(page, "Put it in force")
        expect(page.locator("#policy-note")).to_contain_text("In force since revision")
        assert bound.instances[0].request("GET", "/policy").json() == POLICY
        page.fill("#policy-text", json.dumps({"guarded": 5, "schemas": {}}))
        press(page, "Put it in force")
        expect(page.locator("#policy-problem")).to_contain_text("/guarded: expected a list\n/schemas: expected a list")
        page.fill("#policy-text", "{")
        press(page, "Put it in force")
        expect(page.locator("#policy-problem")).to_contain_text("This is not JSON")
        press(page, "Close")
        press(page, "Discard my changes")
        expect(page.locator("#policy-dialog")).not_to_be_visible()
    assert bound.instances[0].request("GET", "/policy").json() == POLICY


def test_nothing_is_put_over_a_policy_that_was_not_seen(browser: Browser, bound: Fleet) -> None:
    with tab(browser, bound.url) as page:
        press(page, "Policy")
        expect(page.locator("#policy-note")).to_contain_text("In force since revision")
        put(bound, {"guarded": ["theirs/"]})
        page.fill("#policy-text", "{}")
        press(page, "Put it in force")
        expect(page.locator("#policy-problem")).to_contain_text("somebody else has put another one meanwhile")
    assert bound.instances[0].request("GET", "/policy").json() == {"guarded": ["theirs/"]}


def test_what_breaks_its_schema_is_told_place_by_place_and_stays_in_the_field(browser: Browser, bound: Fleet) -> None:
    bound.write("team/edited", '{"limit": 1}', 0)
    with tab(browser, bound.url + link("team/edited")) as page:
        press(page, "Edit")
        page.fill("#text", '{"limit": 1000}')
        press(page, "Save")
        expect(page.locator("#problem")).to_contain_text("at /limit: expected maximum: 100")
        expect(page.locator("#text")).to_have_value('{"limit": 1000}')
        page.fill("#text", '{"limit": 100}')
        press(page, "Save")
        expect(page.locator("#value")).to_contain_text('"limit": 100')


def test_a_reason_is_asked_for_where_the_policy_wants_one(browser: Browser, bound: Fleet) -> None:
    put(bound, {})
    bound.write("prod/a", "1", 0)
    put(bound, POLICY)
    with tab(browser, bound.url + link("prod/a")) as page:
        press(page, "Edit")
        page.fill("#text", "2")
        press(page, "Save")
        expect(page.locator("#question")).to_contain_text("Why is this changed?")
        page.fill("#question-input", "für alle")
        press(page, "Go on")
        expect(page.locator("#value")).to_have_text("2")
    changes = bound.instances[0].request("GET", "/changes?prefix=prod/").json()["changes"]
    assert [change["value"] for change in changes] == ["2"]
