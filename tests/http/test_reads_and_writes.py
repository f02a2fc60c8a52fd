"""PUT, POST, GET, HEAD and DELETE of one document (the contract)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.http.conftest import Gateway, StartGateway
from tests.http.test_documents import ACCEPTED, REFUSED

KEY = "/config/performance_tests/abc"


def revision(response: TestResponse) -> int:
    """The answer's session token."""
    return int(response.headers["X-Config-Revision"])


def test_the_first_put_creates_and_the_next_replaces(gateway: Gateway) -> None:
    """201 with the place of the new document, then 200; the body comes back."""
    created = gateway.ask("PUT", KEY, b'{"a": 1}')
    assert (created.status_code, created.data, created.headers["Location"]) == (201, b'{"a": 1}', KEY)
    replaced = gateway.ask("PUT", KEY, b'{"a": 2}')
    assert (replaced.status_code, replaced.data, replaced.headers.get("Location")) == (200, b'{"a": 2}', None)
    assert revision(replaced) > revision(created)
    assert replaced.headers["ETag"] == f'"{revision(replaced)}"'
    assert replaced.headers["Content-Type"] == "application/json"


def test_post_is_put(gateway: Gateway) -> None:
    """The contract offers both for a key."""
    assert gateway.ask("POST", KEY, b"1").status_code == 201
    assert gateway.ask("POST", KEY, b"2").status_code == 200
    assert gateway.ask("GET", KEY).data == b"2"


def test_a_location_is_encoded(gateway: Gateway) -> None:
    """A key with a percent sign, a blank and a letter beyond ASCII."""
    created = gateway.ask_raw("PUT", "/config/100%25/ü ?".encode(), b"1")
    assert created.headers["Location"] == "/config/100%2525/%C3%BC%20%3F"
    assert gateway.ask("GET", created.headers["Location"]).data == b"1"


def test_a_read_tells_where_its_answer_came_from(gateway: Gateway) -> None:
    """`X-Cache` tells the truth: loaded, then from memory, then without asking the cache."""
    written = gateway.ask("PUT", KEY, b"1")
    miss, hit, bypass = (gateway.ask("GET", KEY + query) for query in ("", "?use_cache=true", "?use_cache=false"))
    assert [answer.headers["X-Cache"] for answer in (miss, hit, bypass)] == ["MISS", "HIT", "BYPASS"]
    for answer in (miss, hit, bypass):
        assert (answer.status_code, answer.data) == (200, b"1")
        assert answer.headers["ETag"] == written.headers["ETag"]
        assert revision(answer) >= revision(written)
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers
    assert miss.headers["Age"] == bypass.headers["Age"] == "0"
    assert 0 < int(hit.headers["Age"]) <= 30  # whole seconds, rounded up


def test_an_absent_key_is_404_and_says_as_of_when(gateway: Gateway) -> None:
    """The absence holds at a revision, and is cached like a value."""
    first, second = gateway.ask("GET", KEY), gateway.ask("GET", KEY)
    for answer in (first, second):
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
        assert answer.get_json(force=True)["status"] == 404
        assert revision(answer) > 0
        assert "ETag" not in answer.headers
    assert [answer.headers["X-Cache"] for answer in (first, second)] == ["MISS", "HIT"]


def test_delete_is_204_whether_there_was_a_document_or_not(gateway: Gateway) -> None:
    """And writes nothing when there was none."""
    gateway.ask("PUT", KEY, b"1")
    deleted = gateway.ask("DELETE", KEY)
    assert (deleted.status_code, deleted.data) == (204, b"")
    assert "Content-Type" not in deleted.headers
    assert "ETag" not in deleted.headers
    again = gateway.ask("DELETE", KEY)
    assert again.status_code == 204
    assert revision(again) == revision(deleted)
    assert gateway.ask("GET", KEY).status_code == 404


@pytest.mark.parametrize("body", [b'"12345"', None])
def test_head_has_the_headers_of_get(gateway: Gateway, body: bytes | None) -> None:
    """RFC 9110, 9.3.2: Content-Length included, and no body."""
    if body is not None:
        gateway.ask("PUT", KEY, body)
    gateway.ask("GET", KEY)
    get, head = gateway.ask("GET", KEY), gateway.ask("HEAD", KEY)
    assert head.status_code == get.status_code
    assert head.data == b""
    assert dict(head.headers) == dict(get.headers)
    assert int(head.headers["Content-Length"]) == len(get.data)


@pytest.mark.parametrize("body", ACCEPTED, ids=lambda body: repr(body[:20]))
def test_a_document_comes_back_byte_for_byte(shared: Gateway, body: bytes) -> None:
    """Falsy values, white space, order, repeated names, lone surrogates: nobody re-encodes them."""
    put = shared.ask("PUT", "/config/bytes", body)
    assert put.status_code in (200, 201)
    assert put.data == body
    assert [shared.ask("GET", f"/config/bytes?use_cache={use}").data for use in ("false", "true")] == [body, body]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]), st.text(" \t\r\n", max_size=3))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_document_comes_back_byte_for_byte(
    shared: Gateway, value: object, escaped: bool, indent: int | str | None, blanks: str
) -> None:
    """However its author writes JSON."""
    import json

    text = blanks + json.dumps(value, ensure_ascii=escaped, indent=indent) + blanks
    body = text.encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        assert shared.ask("PUT", "/config/any", body).status_code == 400
        return
    assert shared.ask("PUT", "/config/any", body).data == body
    assert shared.ask("GET", "/config/any").data == body


@pytest.mark.parametrize("body", REFUSED, ids=lambda body: repr(body[:20]))
def test_what_is_not_a_document_changes_nothing(shared: Gateway, body: bytes) -> None:
    """400 or 411, and what was there is there still."""
    before = shared.ask("PUT", "/config/kept", b'"before"')
    refused = shared.ask("PUT", "/config/kept", body)
    assert refused.status_code == (400 if body else 411)  # the test client announces no empty body
    assert refused.get_json(force=True)["outcome"] == "not done"
    after = shared.ask("GET", "/config/kept?use_cache=false")
    assert (after.data, after.headers["ETag"]) == (b'"before"', before.headers["ETag"])


def test_the_limit_of_a_document_is_a_setting(gateways: StartGateway) -> None:
    """MAX_VALUE_BYTES, the contract."""
    gateway = gateways(max_value_bytes=10)
    assert gateway.ask("PUT", KEY, b'"12345678"').status_code == 201
    refused = gateway.ask("PUT", KEY, b'"123456789"')
    assert refused.status_code == 413
    assert "10" in refused.get_json(force=True)["detail"]
    assert gateway.ask("GET", KEY).data == b'"12345678"'


def test_the_largest_document_that_can_be_allowed_fits_into_etcd(gateways: StartGateway) -> None:
    """Hazard: 1.5 MiB a request; the longest key, its name in the version record and the largest value together."""
    gateway = gateways(max_value_bytes=1_500_000)
    path = b"/config/" + b"k" * 512
    body = b'"' + b"x" * (1_500_000 - 2) + b'"'
    assert gateway.ask_raw("PUT", path, body).status_code == 201
    assert gateway.ask_raw("GET", path).data == body


@given(st.binary(max_size=30), st.sampled_from(["GET", "HEAD", "DELETE", "PUT", "POST", "PATCH", "OPTIONS", "BREW"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_path_is_answered_without_a_fault_or_a_redirect(shared: Gateway, path: bytes, method: str) -> None:
    """Fault matrix: malformed input of any kind is never a 500, and never leads to another key."""
    for prefix in (b"/", b"/config/", b"/config/a", b"//", b""):
        status = shared.ask_raw(method, prefix + path, b"1").status_code
        assert status < 500
        assert not 300 <= status < 400


@pytest.mark.parametrize(
    "path",
    [b"//config/a", b"/config//a", b"/config/a/", b"/config/a/../b", b"/./config/a", b"//", b"/members//targets"],
)
def test_no_path_is_another_path(gateway: Gateway, path: bytes) -> None:
    """Hazard: `//a` and `/%2Fa` are redirected to another key. Flask by itself also takes `//a` for `/a`."""
    gateway.ask("PUT", "/config/a", b"1")
    assert gateway.ask_raw("GET", path).status_code in (400, 404)
    assert gateway.ask_raw("DELETE", path).status_code in (400, 404)
    assert gateway.ask("GET", "/config/a").data == b"1"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("key", [b"/a", b"/", b"a//b", b"a/", b"..", b"a\nb", b"\n", b"\xff", b"x" * 513])
def test_what_is_no_key_is_400_whatever_is_asked(shared: Gateway, method: str, key: bytes) -> None:
    """And not "no such route": the caller is told what is wrong with it."""
    assert shared.ask_raw(method, b"/config/" + key, b"1").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/config/a", {"GET", "HEAD", "PUT", "POST", "DELETE"}),
        ("OPTIONS", "/config/a", {"GET", "HEAD", "PUT", "POST", "DELETE"}),
        ("PUT", "/config/", {"GET", "HEAD", "POST"}),
        ("DELETE", "/config/", {"GET", "HEAD", "POST"}),
        ("PATCH", "/config", {"GET", "HEAD", "POST"}),
        ("POST", "/members", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_offered_is_405(gateway: Gateway, method: str, path: str, allowed: set[str]) -> None:
    """With the ones that are (RFC 9110, 15.5.6)."""
    answer = gateway.ask(method, path, b"1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("put", "/config/b", 405), ("Delete", "/config/a", 405), ("get", "/config/", 405), ("get", "/nowhere", 404)],
)
def test_a_method_in_small_letters_is_another_method(gateway: Gateway, method: str, path: str, status: int) -> None:
    """RFC 9110, 9.1. A proxy that lets only reads through goes by the method, and must not be bypassed."""
    gateway.ask("PUT", "/config/a", b"1")
    answer = gateway.client.open(path, data=b"2", environ_overrides={"REQUEST_METHOD": method})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert [entry["key"] for entry in gateway.ask("GET", "/config/").get_json()["keys"]] == ["a"]


@pytest.mark.parametrize("query", ["?sync=yes", "?sync", "?use_cache=false", "?revision=1", "?x", "?a=1&a=2"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_a_write_with_a_wrong_parameter_is_400(shared: Gateway, method: str, query: str) -> None:
    """No silent defaults; nothing is written."""
    before = shared.ask("PUT", "/config/kept", b'"before"')
    assert shared.ask(method, f"/config/kept{query}", b"2").status_code == 400
    assert shared.ask("GET", "/config/kept?use_cache=false").headers["ETag"] == before.headers["ETag"]


@pytest.mark.parametrize(
    "query", ["?use_cache=yes", "?use_cahce=false", "?min_revision=x", "?consistency=eventual", "?stale_if_error=x"]
)
def test_a_read_with_a_wrong_parameter_is_400(shared: Gateway, query: str) -> None:
    """No silent defaults."""
    assert shared.ask("GET", f"/config/kept{query}").status_code == 400


def test_a_linearizable_read_is_served_from_memory_after_asking(gateway: Gateway) -> None:
    """Rule 11: the value is not moved, and the answer is as of the moment of asking."""
    written = gateway.ask("PUT", "/config/k", b"1")
    gateway.ask("GET", "/config/k")
    read = gateway.ask("GET", "/config/k?consistency=linearizable")
    assert (read.data, read.headers["X-Cache"], read.headers["Age"]) == (b"1", "REVALIDATED", "0")
    assert int(read.headers["X-Config-Revision"]) >= int(written.headers["X-Config-Revision"])
