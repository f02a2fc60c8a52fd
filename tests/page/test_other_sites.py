"""What the page of another site gets a real browser to do to a service without tokens: nothing.

Three sites: one with a name of its own, one at another port of this machine (to a browser the same site, but another
origin), and one whose name has come to lead to this machine (DNS rebinding: to the browser the same origin).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import DEADLINE, another
from tests.support.etcd import EtcdServer, free_ports
from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.lasting

EVIL = "evil.example"
VICTIM = "victim"
OURS = b'"ours"'

BY_FORM = """([url, before, after]) => {
    const form = Object.assign(document.createElement("form"), {method: "POST", action: url, enctype: "text/plain"});
    form.append(Object.assign(document.createElement("input"), {name: before, value: after}));
    document.body.append(form);
    form.submit();
}"""
"""What is sent is before=after: a JSON document, if they are chosen well."""

BY_FETCH = """async ([url, method, body, mode]) => {
    const headers = mode === "no-cors" ? {"Content-Type": "text/plain"} : {};
    try { return (await fetch(url, {method, body, mode, headers})).status } catch (error) { return String(error) }
}"""

BY_BEACON = "([url, body]) => navigator.sendBeacon(url, body)"

READ = "async (url) => { const answer = await fetch(url); return [answer.status, await answer.text()] }"

BATCH = f'{{"operations": [{{"op": "put", "key": "{VICTIM}", "value": "theirs"}}]}}'
REFUSED = re.compile(r'^config_http_requests_total\{.*status="403"\} ([0-9.]+)$', re.MULTILINE)


@pytest.fixture(scope="module")
def strangers(browser: Browser) -> Iterator[Browser]:
    """A browser for which the foreign name leads to this machine, and which is as careless as those of other makers.

    This one asks its user before a page of the Internet may ask something of this machine.
    """
    careless = "--disable-features=LocalNetworkAccessChecks"
    with another(browser.browser_type, f"--host-resolver-rules=MAP {EVIL} 127.0.0.1", careless) as started:
        yield started


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    with InstanceProcess(tmp_path_factory.mktemp("victim"), **etcd.settings("/other-sites")) as process:
        yield process


def refusals(instance: InstanceProcess) -> int:
    return sum(int(float(count)) for count in REFUSED.findall(instance.request("GET", "/metrics").text))


def is_ours(instance: InstanceProcess) -> bool:
    found = instance.get(f"{VICTIM}?use_cache=false")
    return (found.status_code, found.content) == (200, OURS)


def visit(page: Page, origin: str) -> None:
    """The attacker's page, served by the attacker, whatever the name leads to a moment later."""
    prize = f"{origin}/prize"
    page.route(prize, lambda route: route.fulfill(content_type="text/html", body="<!doctype html><p>Click here"))
    page.goto(prize)
    page.unroute(prize)  # with a route in place, playwright answers what a browser asks before a request (CORS)


def attacks(page: Page, origin: str, service: str) -> Iterator[tuple[str, bool]]:
    """Does them, one by one: which it was, and whether the service gets to see it.

    It does not where the browser asks first, and is told no.
    """
    document, batch = f"{service}/config/{VICTIM}", f"{service}/config/"
    visit(page, origin)
    for method in ("PUT", "POST", "DELETE"):
        body = None if method == "DELETE" else '"theirs"'
        page.evaluate(BY_FETCH, [document, method, body, "cors"])
        yield f"fetch {method}", origin == service or method == "POST"
    page.evaluate(BY_FETCH, [batch, "POST", BATCH, "cors"])
    yield "fetch a batch", True
    for url, body in ((document, '"theirs"'), (batch, BATCH)):
        page.evaluate(BY_FETCH, [url, "POST", body, "no-cors"])
        yield f"fetch without CORS: {body}", True
        page.evaluate(BY_BEACON, [url, body])
        yield f"beacon: {body}", True
    before, _, after = BATCH.partition("theirs")
    for url, name, value in ((document, '{"theirs": "', '"}'), (batch, before, after)):
        visit(page, origin)
        with page.expect_navigation(url=url):
            page.evaluate(BY_FORM, [url, name, value])
        yield f"form: {name}", True


@pytest.mark.parametrize("site", ["foreign", "other port", "rebound"])
def test_the_page_of_another_site_writes_nothing(strangers: Browser, instance: InstanceProcess, site: str) -> None:
    """By whatever means a browser has; and what gets to the service is refused and counted."""
    other = free_ports(1)[0]
    service = f"http://{EVIL}:{instance.port}" if site == "rebound" else instance.url
    origin = {"foreign": f"http://{EVIL}:{other}", "other port": f"http://127.0.0.1:{other}", "rebound": service}[site]
    instance.put(VICTIM, OURS)
    page, written = strangers.new_context().new_page(), []
    page.set_default_timeout(DEADLINE)
    counted = refusals(instance)
    for attack, arrives in attacks(page, origin, service):
        assert not arrives or within(5, lambda: refusals(instance) > counted or not is_ours(instance)), attack  # noqa: B023
        if not is_ours(instance):
            written.append(attack)
            instance.put(VICTIM, OURS)
        counted = refusals(instance)
    page.context.close()
    assert written == []


def test_the_page_of_a_rebound_name_reads_nothing(strangers: Browser, instance: InstanceProcess) -> None:
    """To the browser it would be its own site's answer."""
    service = f"http://{EVIL}:{instance.port}"
    instance.put(VICTIM, b'"secret"')
    page = strangers.new_context().new_page()
    visit(page, service)
    for path in (f"/config/{VICTIM}", "/config/", "/members", "/", "/healthz"):
        status, text = page.evaluate(READ, service + path)
        assert (status, "secret" in text) == (403, False), path
    page.context.close()
