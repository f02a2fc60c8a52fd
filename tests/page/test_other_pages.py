"""What a page from elsewhere, which anybody may open by a link, can do to the etcd beside it, in a real browser."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from consistency.etcd.config import EtcdConfig
from consistency.etcd.store import EtcdStore
from service.embedded_etcd.shared import EmbeddedEtcd
from tests.support.driver import run_beside
from tests.support.etcd import EtcdServer

KEY = "stolen"
POST = """async ([url, body]) => {
    // What needs no preflight: the answer can't be read, but it has been asked for.
    const simple = {method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body};
    await fetch(url + "/v3/kv/put", simple).catch(error => error);
}"""


@pytest.fixture
def elsewhere(browser: Browser) -> Iterator[Page]:
    """A page of another origin, open."""

    class Blank(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        page = browser.new_page()
        page.goto(f"http://localhost:{server.server_port}/")
        yield page
        page.close()
        server.shutdown()
        thread.join(5)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[str]:
    """The endpoint of an etcd that came along."""
    etcd = EmbeddedEtcd(tmp_path, lambda _: None)
    with ThreadPoolExecutor(1) as beside:  # the browser's loop runs on this thread
        yield beside.submit(etcd.start).result().endpoint
        beside.submit(etcd.stop, 5).result()


def written_by(page: Page, endpoint: str) -> bytes | None:
    """What is stored after the page has tried to write."""
    key, value = (b64encode(text).decode() for text in (f"/p/config/{KEY}".encode(), b'"by a page"'))
    page.evaluate(POST, [endpoint, json.dumps({"key": key, "value": value})])
    store = EtcdStore(EtcdConfig((endpoint,), "/p"))
    try:
        revision = run_beside(store.survey(None, timeout=5)).header.revision
        found = run_beside(store.past(KEY, revision, timeout=5)).document
        return found.data if found else None
    finally:
        run_beside(store.close())


def read_by(page: Page, url: str) -> str:
    """What the page gets to see."""
    return str(page.evaluate("url => fetch(url).then(answer => answer.text()).catch(() => '')", url))


def test_a_page_from_elsewhere_does_not_write_to_the_embedded_etcd(elsewhere: Page, embedded: str) -> None:
    assert written_by(elsewhere, embedded) is None


def test_a_page_from_elsewhere_does_not_read_the_embedded_etcd(elsewhere: Page, embedded: str) -> None:
    """Its metrics tell how much is written, its variables where its data is and which user runs it."""
    assert [read_by(elsewhere, embedded + path) for path in ("/metrics", "/debug/vars", "/version")] == [""] * 3


def test_a_rebound_name_does_not_reach_the_embedded_etcd(browser: Browser, embedded: str) -> None:
    """To the browser a page under such a name and the etcd are of one origin; etcd alone can tell them apart."""
    page = browser.new_page()
    try:  # Chromium takes every name that ends like this for the loopback address
        answer = page.goto(f"http://rebound.localhost:{embedded.rpartition(':')[2]}/version")
        assert answer is not None
        assert answer.status == 421
    finally:
        page.close()


def test_the_same_page_does_write_to_an_etcd_with_its_gateway_on(elsewhere: Page, etcd_as_it_comes: EtcdServer) -> None:
    """So that the tests above can't pass for want of an attack; and why docs/security.md says what to switch off."""
    assert written_by(elsewhere, etcd_as_it_comes.endpoint) == b'"by a page"'
    assert "etcdserver" in read_by(elsewhere, f"{etcd_as_it_comes.endpoint}/version")


@pytest.fixture
def etcd_as_it_comes(tmp_path: Path) -> Iterator[EtcdServer]:
    """With what etcd itself takes for granted."""
    with EtcdServer(tmp_path / "own") as started:
        yield started
