"""Tokens on every way in: documents, listing, batches, the past, cookies, pages; and what a refusal gives away."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import Gateway, StartGateway, keyring

NAMES = ("admin", "all", "reader", "writer", "watcher", "a", "a-reader")


def secret(name: str) -> str:
    return f"{name}-0123456789-abcdef"


def bearer(name: str) -> str:
    return f"Bearer {secret(name)}"


def entry(name: str, *scopes: str, **more: str) -> dict[str, object]:
    return {"name": name, "token": secret(name), "scopes": list(scopes), **more}


TOKENS = [
    entry("admin", "admin"),
    entry("all", "read", "write"),
    entry("reader", "read"),
    entry("writer", "write"),
    entry("watcher", "observe"),
    entry("a", "read", "write", prefix="team-a/"),
    entry("a-reader", "read", prefix="team-a/"),
]
KEYS = ["team", "team-a", "team-a/x", "team-a/y", "team-a/\u00fc", "team-ab/x", "team-b/x"]


@pytest.fixture
def gateway(gateways: StartGateway) -> Gateway:
    """With every key of KEYS."""
    found = gateways(tokens=TOKENS)
    for key in KEYS:
        assert ask(found, "admin", "PUT", f"/config/{quote(key)}", b'"secret"').status_code == 201
    return found


def ask(
    gateway: Gateway, name: str | None, method: str, path: str, body: bytes | None = None, **headers: str
) -> TestResponse:
    """As the bearer of the token of that name."""
    if name is not None:
        headers["Authorization"] = bearer(name)
    return gateway.ask(method, path, body, **headers)


def is_refused(answer: TestResponse, status: int) -> bool:
    """With a challenge, and with nothing of a document or its revision."""
    assert answer.status_code == status, answer.text
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="config-service"')
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not {"ETag", "X-Config-Revision", "X-Cache", "Age", "Set-Cookie"} & set(answer.headers.keys())
    return "secret" not in answer.text


WAYS = [
    ("GET", "/config/team-b/x", None),
    ("GET", "/config/team-b/x?use_cache=false", None),
    ("GET", "/config/team-b/x?consistency=linearizable", None),
    ("GET", "/config/team-b/x?revision=3", None),
    ("GET", "/config/team-b/x?stale_if_error=60", None),
    ("GET", "/config/team-b/x?no=such", None),
    ("HEAD", "/config/team-b/x", None),
    ("HEAD", "/config/team-b/x?revision=3", None),
    ("GET", "/config/team-b/../team-b/x", None),
    ("GET", "/config/", None),
    ("GET", "/config", None),
    ("HEAD", "/config/", None),
    ("PUT", "/config/team-b/x", b"1"),
    ("PUT", "/config/team-b/x?sync=true", b"1"),
    ("POST", "/config/team-b/x", b"1"),
    ("DELETE", "/config/team-b/x", None),
    ("POST", "/config/", b'{"operations": [{"op": "delete", "key": "team-b/x"}]}'),
    ("POST", "/config", b'{"operations": [{"op": "delete", "key": "team-b/x"}]}'),
    ("PATCH", "/config/team-b/x", b"1"),
    ("OPTIONS", "/config/team-b/x", None),
    ("GET", "/metrics", None),
    ("GET", "/members", None),
    ("GET", "/members/targets", None),
    ("GET", "/members/tokens", None),
    ("GET", "/members/me", None),
    ("GET", "/members/states", None),
    ("GET", "/members/config/team-b/x", None),
    ("GET", "/policy", None),
    ("HEAD", "/policy", None),
    ("PUT", "/policy", b"{}"),
    ("PUT", "/policy?dry_run=true", b"{}"),
    ("GET", "/no-such-page", None),
    ("GET", "//config/team-b/x", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WAYS)
def test_without_a_token_no_way_leads_in(gateway: Gateway, method: str, path: str, body: bytes | None) -> None:
    """A false token, a cookie, or a token outside of the header does not lead in either."""
    there = gateway.cache.get("team-b/x", use_cache=False)
    for headers in (
        {},
        {"Authorization": ""},  # not ASCII, as the server hands it over
        {"Authorization": "Bearer " + "x" * 24},
        {"Authorization": f"Basic {secret('admin')}"},
        {"Authorization": f"{bearer('admin')}, {bearer('admin')}"},
        {"Cookie": f"config_revision=99; token={secret('admin')}; Authorization={bearer('admin')}"},
        {"X_Authorization": bearer("admin"), "Proxy_Authorization": bearer("admin"), "X_Api_Key": secret("admin")},
        {"X_Forwarded_User": "admin", "X_Original_URL": "/healthz", "X_HTTP_Method_Override": "GET"},
    ):
        assert is_refused(gateway.ask(method, path, body, **headers), 401)
        separator = "&" if "?" in path else "?"
        query = f"{path}{separator}access_token={secret('admin')}"
        assert is_refused(gateway.ask(method, query, body, **headers), 401)
    assert gateway.cache.get("team-b/x", use_cache=False).mod_revision == there.mod_revision


@pytest.mark.parametrize(("method", "path", "body"), WAYS)
def test_with_a_token_for_nothing_of_it_no_way_leads_in(
    gateway: Gateway, method: str, path: str, body: bytes | None
) -> None:
    """403 to whoever is known, but not for this; and the document is as it was."""
    there = gateway.cache.get("team-b/x", use_cache=False)
    reads_documents = method in ("GET", "HEAD") and path.removeprefix("/members").startswith("/config")
    name = "writer" if reads_documents else "reader"
    assert is_refused(ask(gateway, name, method, path, body), 403)
    assert gateway.cache.get("team-b/x", use_cache=False).mod_revision == there.mod_revision


PAGES = ("/", "/page/main.js", "/healthz", "/readyz")


@pytest.mark.parametrize("name", [None, *NAMES])
def test_each_token_opens_its_pages(gateway: Gateway, name: str | None) -> None:
    """Health, readiness and the front page are for everybody: platforms ask them without a token."""
    for page in PAGES:
        assert ask(gateway, name, "GET", page).status_code == 200
        assert gateway.ask("GET", page, Authorization="Bearer wrong").status_code == 200
    for page in ("/metrics", "/members", "/members/targets", "/members/me", "/members/states"):
        expected = 401 if name is None else 200 if name in ("watcher", "admin") else 403
        assert ask(gateway, name, "GET", page).status_code == expected
    expected = 401 if name is None else 404 if name == "admin" else 403
    assert ask(gateway, name, "GET", "/no-such-page").status_code == expected


@pytest.mark.parametrize("name", [name for name in NAMES if name != "admin"])
def test_a_policy_is_read_put_and_tried_by_admins_alone(gateway: Gateway, name: str) -> None:
    """It binds the whole fleet, and a dry run tells which documents there are."""
    assert is_refused(ask(gateway, name, "GET", "/policy"), 403)
    assert is_refused(ask(gateway, name, "PUT", "/policy", b"{}", If_None_Match="*"), 403)
    assert is_refused(ask(gateway, name, "PUT", "/policy?dry_run=true", b"{}"), 403)
    assert ask(gateway, "admin", "GET", "/policy").status_code == 404
    assert ask(gateway, "admin", "PUT", "/policy", b"{}", If_None_Match="*").status_code == 201
    assert ask(gateway, "admin", "GET", "/policy").status_code == 200


def test_a_prefix_and_a_page_may_go_together(gateways: StartGateway) -> None:
    """The prefix limits keys, not pages."""
    gateway = gateways(tokens=[entry("a", "read", "observe", prefix="team-a/")])
    assert ask(gateway, "a", "GET", "/metrics").status_code == 200
    assert ask(gateway, "a", "GET", "/config/team-b/x").status_code == 403


def test_reading_and_writing_are_two_rights(gateway: Gateway) -> None:
    """A token that may only write never gets a document: the body of a PUT is the one that was sent."""
    assert ask(gateway, "reader", "GET", "/config/team-b/x").data == b'"secret"'
    assert is_refused(ask(gateway, "reader", "PUT", "/config/team-b/x", b"1"), 403)
    assert is_refused(ask(gateway, "writer", "GET", "/config/team-b/x"), 403)
    for conditions in ({"If_Match": '"1"'}, {"If_None_Match": "*"}):
        failed = ask(gateway, "writer", "PUT", "/config/team-b/x", b"1", **conditions)
        assert failed.status_code == 412
        assert "secret" not in failed.text
    assert ask(gateway, "writer", "PUT", "/config/team-b/x", b'"new"').data == b'"new"'
    for _ in range(2):
        assert ask(gateway, "writer", "DELETE", "/config/team-b/x").status_code == 204


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "team-a", "team-ab/x", "team-b/x", "team", "Team-a/x", "team-a%252Fx", "x/team-a/x", "team-a%5Cx",
        "%E2%80%8Bteam-a/x", "team-a%EF%BC%8Fx",
    ],
)  # fmt: skip
def test_a_token_with_a_prefix_is_for_the_keys_beneath_only(gateway: Gateway, method: str, path: str) -> None:
    """`team-a/` is neither `team-a` nor `team-ab/`, whatever the encoding."""
    assert is_refused(ask(gateway, "a", method, f"/config/{path}", b"1"), 403)


@pytest.mark.parametrize("path", ["team-a//x", "team-a/../team-b/x", "team-a/%2e%2e/team-b/x", "/team-a/x", "team-a/"])
@pytest.mark.parametrize("name", ["a", "all"])
def test_what_is_no_key_is_400_with_and_without_a_prefix(gateway: Gateway, name: str, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert ask(gateway, name, method, f"/config/{path}", b"1").status_code == 400


@pytest.mark.parametrize(
    "path", ["team-a/x", "team-a%2Fx", "%74eam-a/x", "team-a/%78", "team-a/%C3%BC", "team-a/new/z"]
)
def test_a_key_beneath_the_prefix_may_be_written_in_any_encoding(gateway: Gateway, path: str) -> None:
    assert ask(gateway, "a", "PUT", f"/config/{path}", b"1").status_code in (200, 201)
    assert ask(gateway, "a", "GET", f"/config/{path}").data == b"1"
    assert ask(gateway, "a", "GET", f"/config/{path}", If_None_Match='"1"').status_code == 200
    assert ask(gateway, "a", "DELETE", f"/config/{path}").status_code == 204


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
def test_a_refusal_is_the_same_whether_there_is_such_a_key_or_not(gateway: Gateway, method: str) -> None:
    """Byte for byte, but for the name that was sent; in memory or not."""
    ask(gateway, "admin", "GET", "/config/team-b/x")
    for name, status in ((None, 401), ("watcher", 403), ("a", 403)):
        there = ask(gateway, name, method, "/config/team-b/x", b"1", If_Match='"1"', X_Request_Id="mine")
        absent = ask(gateway, name, method, "/config/team-b/y", b"1", If_Match='"1"', X_Request_Id="mine")
        assert is_refused(there, status)
        assert (there.status, list(there.headers)) == (absent.status, list(absent.headers))
        assert there.text.replace("team-b/x", "team-b/y") == absent.text


def test_a_refused_head_has_the_headers_of_get_and_no_body(gateway: Gateway) -> None:
    for name in (None, "a"):
        get, head = (ask(gateway, name, method, "/config/team-b/x") for method in ("GET", "HEAD"))
        assert (head.status, list(head.headers), head.data) == (get.status, list(get.headers), b"")
        assert int(head.headers["Content-Length"]) == len(get.data) > 0


# Listing


def listed(gateway: Gateway, name: str, query: str = "") -> dict[str, Any]:
    answer = ask(gateway, name, "GET", f"/config/{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def names(found: dict[str, Any]) -> list[str]:
    return [each["key"] for each in found["keys"]]


def test_a_listing_shows_what_may_be_read_and_nothing_else(gateway: Gateway) -> None:
    ours = ["team-a/x", "team-a/y", "team-a/\u00fc"]
    assert names(listed(gateway, "reader")) == KEYS
    for name in ("a", "a-reader"):
        for query in ("", "?prefix=t", "?prefix=team-a", "?prefix=team-a/", "?prefix=&after=t", "?after=team-a"):
            found = listed(gateway, name, query)
            assert (names(found), found["more"], found["next"]) == (ours, False, None)
        assert names(listed(gateway, name, "?prefix=team-a/x")) == ["team-a/x"]
        assert names(listed(gateway, name, "?after=team-b")) == []
        for query in ("?prefix=team-ab", "?prefix=team-b/", "?prefix=x"):
            assert is_refused(ask(gateway, name, "GET", f"/config/{query}"), 403)
    assert is_refused(ask(gateway, "writer", "GET", "/config/"), 403)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_are_full_and_end_as_if_there_were_no_other_keys(gateway: Gateway, limit: int) -> None:
    """A page is not cut down after it has been read: else it would tell of what it leaves out, or end too early."""
    collected: list[str] = []
    query = f"?limit={limit}"
    while True:
        found = listed(gateway, "a-reader", query)
        collected += names(found)
        assert len(names(found)) == limit or not found["more"]
        if found["next"] is None:
            break
        query = f"?limit={limit}&after={quote(found['next'])}"
    assert collected == ["team-a/x", "team-a/y", "team-a/\u00fc"]
    assert not found["more"]


# Batches


def batch(*operations: tuple[str, str]) -> bytes:
    made = [{"op": op, "key": key, **({"value": 1} if op == "put" else {})} for op, key in operations]
    return json.dumps({"operations": made}).encode()


def test_a_batch_is_refused_as_a_whole_for_one_key_that_is_not_ours(gateway: Gateway) -> None:
    """At any place in it, and whether there is such a key or not."""
    mine = [("put", "team-a/x"), ("delete", "team-a/y")]
    for foreign in (("delete", "team-b/x"), ("put", "team-b/new"), ("put", "team-a"), ("put", "team-ab/x")):
        for at in range(3):
            body = batch(*mine[:at], foreign, *mine[at:])
            assert is_refused(ask(gateway, "a", "POST", "/config/", body), 403)
    assert ask(gateway, "a", "GET", "/config/team-a/x").data == b'"secret"'
    assert ask(gateway, "a", "POST", "/config/", batch(*mine)).status_code == 200
    assert ask(gateway, "a", "GET", "/config/team-a/y").status_code == 404
    assert is_refused(ask(gateway, "a-reader", "POST", "/config/", batch(*mine)), 403)


def test_an_escaped_key_in_a_batch_is_the_key_that_it_says(gateway: Gateway) -> None:
    body = rb'{"operations": [{"op": "put", "key": "team-\u0062/x", "value": 1}]}'
    assert is_refused(ask(gateway, "a", "POST", "/config/", body), 403)
    body = rb'{"operations": [{"op": "put", "key": "team-\u0061/x", "value": 1}]}'
    assert ask(gateway, "a", "POST", "/config/", body).status_code == 200


def test_a_batch_that_does_not_happen_shows_no_document(gateway: Gateway) -> None:
    body = b'{"operations": [{"op": "put", "key": "team-b/x", "value": 1, "if_match": "1"}]}'
    failed = ask(gateway, "writer", "POST", "/config/", body)
    assert failed.status_code == 412
    assert "secret" not in failed.text


# Cookies, tokens that change, counting


def test_a_cookie_is_no_right(gateway: Gateway) -> None:
    """The session that a write began goes on for whoever has a token, and for nobody else."""
    browser = gateway.browser()
    sent = {"Authorization": bearer("all")}
    assert browser.put("/config/team-b/x", data=b'"secret"', headers=sent).headers["Set-Cookie"]
    assert browser.get("/config/team-b/x", headers=sent).status_code == 200
    for answer in (
        browser.get("/config/team-b/x"),
        browser.put("/config/team-b/x", data=b"1"),
        browser.get("/config/"),
    ):
        assert is_refused(answer, 401)


def test_with_other_tokens_the_earlier_ones_are_forgotten(gateways: StartGateway) -> None:
    """A verdict that was remembered, too."""
    gateway = gateways(tokens=TOKENS)
    ring = gateway.answering.door._keyring
    assert ring is not None
    assert ask(gateway, "all", "GET", "/config/a").status_code == 404
    ring.bearers = keyring(TOKENS[:1]).bearers
    assert ask(gateway, "all", "GET", "/config/a").status_code == 401
    assert ask(gateway, "admin", "GET", "/config/a").status_code == 404


def test_refusals_are_counted_by_route_and_tell_no_key(gateway: Gateway) -> None:
    """So that somebody can be alerted who tries tokens; a label's values are bounded."""
    for path in ("/config/private", "/config/", "/metrics", "/private"):
        gateway.ask("GET", path)
    ask(gateway, "a", "PUT", "/config/private", b"1")
    text = ask(gateway, "watcher", "GET", "/metrics").text
    for route in ("/config/<key>", "/config/", "/metrics", "unknown"):
        assert f'config_http_requests_total{{method="GET",route="{route}",status="401"}} 1.0' in text
    assert 'config_http_requests_total{method="PUT",route="/config/<key>",status="403"} 1.0' in text
    assert "private" not in text
    assert secret("a") not in text


def test_every_page_there_is_has_the_security_headers(gateway: Gateway) -> None:
    """And every refusal: whatever is added later, too."""
    paths = [
        rule.rule for rule in gateway.app.url_map.iter_rules() if not rule.arguments and "GET" in (rule.methods or ())
    ]
    assert len(paths) >= 7
    for path in (*paths, "/config/team-b/x", "/config/absent", "/no-such-page", "/config//"):
        for name in ("admin", None):
            answer = ask(gateway, name, "GET", path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            assert answer.headers["Referrer-Policy"] == "no-referrer", path
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
    for method in ("PUT", "DELETE"):
        answer = ask(gateway, "all", method, "/config/team-b/x", b"1")
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
