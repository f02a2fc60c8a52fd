"""`/docs` in a real browser, which is let load nothing from elsewhere: it shows every operation, and tries one."""

from __future__ import annotations

import pytest
import yaml
from playwright.sync_api import Browser, expect

from service.site.docs_routes import DESCRIPTION
from tests.support.browser import tab
from tests.support.page import Fleet

pytestmark = pytest.mark.lasting

METHODS = {"get", "head", "put", "post", "delete"}


def operations() -> list[str]:
    """As the page names them."""
    paths = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item if method in METHODS]


def test_every_operation_is_shown(browser: Browser, fleet: Fleet) -> None:
    with tab(browser, f"{fleet.url}docs") as page:
        summaries = page.locator(".opblock-summary")
        expect(summaries).to_have_count(len(operations()))
        shown = [
            f"{each.locator('.opblock-summary-method').inner_text()} "
            f"{each.locator('.opblock-summary-path').inner_text()}"
            for each in summaries.all()
        ]
        assert sorted(text.replace("\u200b", "") for text in shown) == sorted(operations())


def test_an_operation_can_be_tried(browser: Browser, fleet: Fleet) -> None:
    """Against the instance that shows it."""
    fleet.write("docs/tried", '{"limit": 10}', instance=0)
    with tab(browser, f"{fleet.url}docs") as page:
        block = page.locator(".opblock-get").filter(has_text="/config/{key}").first
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.locator("tr[data-param-name=key] input").fill("docs/tried")
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table")
        expect(answer.locator(".response-col_status").first).to_contain_text("Code")
        expect(answer).to_contain_text('"limit": 10')
        expect(answer).to_contain_text("x-cache")


def test_a_write_can_be_tried(browser: Browser, fleet: Fleet) -> None:
    """The page is this service's own: it is not taken for another site's."""
    with tab(browser, f"{fleet.url}docs") as page:
        block = page.locator(".opblock-put").filter(has_text="/config/{key}").first
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.locator("tr[data-param-name=key] input").fill("docs/written")
        block.locator(".body-param textarea").fill('{"limit": 11}')
        block.get_by_role("button", name="Execute").click()
        expect(block.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("201")
    assert fleet.instances[0].get("docs/written?use_cache=false").content == b'{"limit": 11}'


def test_the_stream_can_be_tried(browser: Browser, fleet: Fleet) -> None:
    """It has no end, so what is shown is its beginning: what there is, and that this is all."""
    fleet.write("team/streamed", '{"limit": 12}', instance=0)
    with tab(browser, f"{fleet.url}docs") as page:
        block = page.locator(".opblock-get").filter(has_text="/changes").first
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        block.locator(".responses-inner select.content-type").first.select_option("text/event-stream")
        block.get_by_role("button", name="Execute").click()
        answer = block.locator(".live-responses-table")
        expect(answer).to_contain_text("event: put", timeout=30_000)
        expect(answer).to_contain_text("team/streamed")
        expect(answer).to_contain_text("event: sync")
