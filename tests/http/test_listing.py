"""`GET /config/`: keys with their revisions, a page at a time (the contract)."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from consistency.core.store import Scan
from service.documents import documents
from tests.http.conftest import Gateway

KEYS = ["a", "a/b", "a/b/c", "a/c", "ab", "b/ü", "b/日本"]


@pytest.fixture
def filled(gateway: Gateway) -> Gateway:
    for key in KEYS:
        assert gateway.ask_raw("PUT", f"/config/{key}".encode(), b"1").status_code == 201
    return gateway


def page(gateway: Gateway, query: str = "") -> dict[str, Any]:
    answer = gateway.ask("GET", f"/config/{query}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = answer.get_json()
    assert answer.headers["X-Config-Revision"] == str(found["revision"])
    assert answer.headers["Cache-Control"] == "no-cache"
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [entry["key"] for entry in found["keys"]]


def test_an_empty_store_is_an_empty_list(gateway: Gateway) -> None:
    """And nothing of what the service keeps for itself."""
    found = page(gateway)
    assert (found["keys"], found["more"], found["next"]) == ([], False, None)


def test_all_keys_are_listed_in_order_of_their_bytes(filled: Gateway) -> None:
    """With the revisions a conditional write needs."""
    found = page(filled)
    assert names(found) == sorted(KEYS, key=str.encode)
    etag = filled.ask("PUT", "/config/a", b"2").headers["ETag"]
    first = page(filled)["keys"][0]
    assert f'"{first["mod_revision"]}"' == etag
    assert first["create_revision"] < first["mod_revision"]


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("a", ["a", "a/b", "a/b/c", "a/c", "ab"]),
        ("a/", ["a/b", "a/b/c", "a/c"]),
        ("a/b", ["a/b", "a/b/c"]),
        ("b/ü", ["b/ü"]),
        ("x", []),
    ],
)
def test_a_prefix_narrows_the_list(filled: Gateway, prefix: str, expected: list[str]) -> None:
    """Whole segments or parts of one."""
    assert names(page(filled, f"?prefix={quote(prefix)}")) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_put_together_are_the_list(filled: Gateway, limit: int) -> None:
    """`next` goes into `after`, until there is no more."""
    collected: list[str] = []
    query = f"?limit={limit}"
    while True:
        found = page(filled, query)
        assert len(found["keys"]) <= limit
        collected += names(found)
        assert found["more"] == (found["next"] is not None)
        if not found["more"]:
            break
        query = f"?limit={limit}&after={quote(found['next'])}"
    assert collected == names(page(filled))


def test_a_list_with_a_prefix_goes_on_after_a_key(filled: Gateway) -> None:
    """Also after one that is not there (any more), or that the prefix excludes."""
    assert names(page(filled, "?prefix=a/&after=a/b")) == ["a/b/c", "a/c"]
    assert names(page(filled, "?prefix=a/&after=a/bb")) == ["a/c"]
    assert names(page(filled, "?prefix=a/&after=a")) == ["a/b", "a/b/c", "a/c"]
    assert names(page(filled, "?prefix=a/&after=b")) == []


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=1001", "?after=", "?prefix=//", "?prefix=%ff", "?use_cache=true"]
)
def test_a_wrong_parameter_is_400(shared: Gateway, query: str) -> None:
    """No silent defaults."""
    assert shared.ask("GET", f"/config/{query}").status_code == 400


def test_the_slash_at_the_end_may_be_left_out(filled: Gateway) -> None:
    """Without a redirect, like everything here."""
    listed = filled.ask("GET", "/config?limit=1")
    assert (listed.status_code, names(listed.get_json())) == (200, ["a"])
    assert filled.ask("PUT", "/config", b"1").status_code == 405


def test_a_list_sees_a_deletion_at_once(filled: Gateway) -> None:
    """It is read from etcd, linearizably."""
    filled.ask("DELETE", "/config/ab")
    assert "ab" not in names(page(filled))


def test_documents_of_a_prefix_at_one_revision(gateway: Gateway) -> None:
    """The pages are of one moment, however much is written meanwhile; and documents come byte for byte."""
    for name in ("a", "b", "c"):
        gateway.ask("PUT", f"/config/v/{name}", b' {"is" : 1E400, "of": "%s"}' % name.encode())
    gateway.ask("PUT", "/config/w", b"1")
    first = gateway.ask("GET", "/config/?prefix=v/&values=true&limit=2").get_json()
    gateway.ask("PUT", "/config/v/c", b"2")
    gateway.ask("DELETE", "/config/v/a")
    second = gateway.ask(
        "GET", f"/config/?prefix=v/&values=true&limit=2&after={first['next']}&revision={first['revision']}"
    ).get_json()
    assert [(each["key"], each["value"]) for each in first["keys"] + second["keys"]] == [
        (f"v/{name}", f' {{"is" : 1E400, "of": "{name}"}}') for name in ("a", "b", "c")
    ]
    assert (second["more"], second["next"], second["revision"]) == (False, None, first["revision"])
    assert "value" not in gateway.ask("GET", f"/config/?prefix=v/&revision={first['revision']}").get_json()["keys"][0]


def test_a_page_of_documents_is_bounded_in_bytes(gateway: Gateway) -> None:
    large = b'"' + b"x" * 600_000 + b'"'
    for name in ("a", "b", "c"):
        gateway.ask("PUT", f"/config/l/{name}", large)
    found, after = [], ""
    for _ in range(3):
        page = gateway.ask("GET", f"/config/?prefix=l/&values=true{after}").get_json()
        found += [each["key"] for each in page["keys"]]
        assert len(page["keys"]) == 1
        after = f"&after={page['next']}&revision={page['revision']}"
    assert found == ["l/a", "l/b", "l/c"]


def test_pages_of_documents_are_read_one_at_a_time(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd may send four times as much as is told: together, several would take more memory than there is for them."""
    cache = gateway.cache.asynchronous
    scan, under_way, together = cache.scan, 0, []

    async def counted(*arguments: Any, **more: Any) -> Scan:
        nonlocal under_way
        under_way += 1
        together.append(under_way)
        await asyncio.sleep(0.02)  # the others come meanwhile
        found = await scan(*arguments, **more)
        under_way -= 1
        return found

    monkeypatch.setattr(cache, "scan", counted)
    gateway.ask("PUT", "/config/o/a", b"1")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: gateway.ask("GET", "/config/?prefix=o/&values=true"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert together == [1] * 8


def test_who_waits_too_long_for_a_page_of_documents_is_told_so(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PAGE_WAITS", 0.01)
    pages = gateway.answering.documents._page_of_documents
    assert gateway.cache.do(pages.take(1))
    answer = gateway.ask("GET", "/config/?prefix=o/&values=true")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert gateway.ask("GET", "/config/?prefix=o/").status_code == 200
    pages.give_back(1)


@pytest.mark.parametrize(("query", "status"), [("revision=0", 400), ("values=1", 400), (f"revision={2**62}", 410)])
def test_a_wrong_question_about_documents(gateway: Gateway, query: str, status: int) -> None:
    assert gateway.ask("GET", f"/config/?{query}").status_code == status
