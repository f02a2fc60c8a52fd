"""What the service says of itself: the description as a file, and a page that shows it without any other server."""

from __future__ import annotations

import re

import pytest

from service.site.docs_routes import ASSETS, DESCRIPTION
from service.site.files import answer_file
from tests.http.conftest import Gateway

FILES = ["/openapi.yaml", "/docs", *(f"/docs/{name}" for name in sorted(ASSETS))]


def test_the_description_is_the_file_as_it_is(shared: Gateway) -> None:
    """RFC 9512 has the media type."""
    answer = shared.ask("GET", "/openapi.yaml")
    assert (answer.headers["Content-Type"], answer.data) == ("application/yaml", DESCRIPTION.read_bytes())


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_sent_once(shared: Gateway, path: str) -> None:
    """Swagger UI has 1.7 MB. A browser asks again each time, and is told that nothing has changed."""
    first = shared.ask("GET", path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = shared.ask("GET", path, If_None_Match=f'"other", W/{first.headers["ETag"]}')
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")
    # What a 304 says takes the place of what the browser has kept (RFC 9111, 4.3.4): another policy would end the page.
    assert again.headers.get("Content-Security-Policy") == first.headers.get("Content-Security-Policy")
    assert shared.ask("GET", path, If_None_Match='"other"').data == first.data
    assert shared.ask("GET", path, If_None_Match="other").status_code == 400


def test_files_have_tags_of_their_own(shared: Gateway) -> None:
    """They are told from what is in them."""
    assert len({shared.ask("GET", path).headers["ETag"] for path in FILES}) == len(FILES)


def test_all_who_ask_for_a_file_share_its_bytes(shared: Gateway) -> None:
    """A thousand who never read would otherwise each have 1.7 MB of their own."""
    with shared.app.test_request_context():
        first, second = (answer_file(DESCRIPTION).body for _ in range(2))
    assert first is second


def test_the_page_needs_no_other_server(shared: Gateway) -> None:
    """It works without the internet: all that it loads is here, and of the type that it is loaded as."""
    page = shared.ask("GET", "/docs")
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert set(loaded) == set(FILES) - {"/docs"}
    assert {shared.ask("GET", path).status_code for path in loaded} == {200}


def test_no_script_stands_in_the_page(shared: Gateway) -> None:
    """And the policy would not let one run."""
    page = shared.ask("GET", "/docs")
    assert re.findall(r"<script(?! src=\"[^\"]+\"></script>)|\son\w+=|javascript:", page.text) == []
    rules = dict(rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert {rules[kind] for kind in ("script-src", "style-src", "connect-src")} == {"'self'"}


@pytest.mark.parametrize("name", ["swagger-ui.js", "index.html", "..%2fopenapi.yaml", "%2e%2e/app.py", ""])
def test_only_what_the_page_needs_is_there(shared: Gateway, name: str) -> None:
    """No other file, neither of ours nor of the package. The last is the page itself."""
    assert shared.ask("GET", f"/docs/{name}").status_code == (404 if name else 200)
