"""If-Match and If-None-Match on the real thing: what etcd's transaction makes of them."""

from __future__ import annotations

import pytest

from tests.http.conftest import Gateway, StartGateway

KEY = "/config/a"


def test_a_reader_who_has_the_document_is_told_so(gateway: Gateway) -> None:
    """304 without a body, with the headers that matter (RFC 9110, 15.4.5)."""
    etag = gateway.ask("PUT", KEY, b"1").headers["ETag"]
    for method in ("GET", "HEAD"):
        answer = gateway.ask(method, KEY, If_None_Match=f'"1", W/{etag}')
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)
        assert {"X-Cache", "X-Config-Revision", "Age", "Cache-Control"} <= set(answer.headers.keys())
        assert not {"Content-Type", "Content-Length"} & set(answer.headers.keys())


def test_a_reader_who_has_an_older_document_gets_the_new_one(gateway: Gateway) -> None:
    """The tag changes with every write, also of the same bytes."""
    old = gateway.ask("PUT", KEY, b"1").headers["ETag"]
    gateway.ask("PUT", KEY, b"1")
    assert gateway.ask("GET", KEY, If_None_Match=old).status_code == 200
    gateway.ask("DELETE", KEY)
    assert gateway.ask("GET", KEY, If_None_Match=old).status_code == 404


def test_create_only_creates_once(gateway: Gateway) -> None:
    """`If-None-Match: *`; the refusal tells the tag to go on with."""
    created = gateway.ask("PUT", KEY, b"1", If_None_Match="*")
    assert created.status_code == 201
    refused = gateway.ask("PUT", KEY, b"2", If_None_Match="*")
    assert (refused.status_code, refused.headers["ETag"]) == (412, created.headers["ETag"])
    assert refused.get_json(force=True)["outcome"] == "not done"
    assert gateway.ask("GET", KEY).data == b"1"


def test_replace_only_what_was_seen(gateway: Gateway) -> None:
    """The lost update that `If-Match` prevents, on PUT and on DELETE."""
    seen = gateway.ask("PUT", KEY, b"1").headers["ETag"]
    newer = gateway.ask("PUT", KEY, b"2", If_Match=seen)
    assert newer.status_code == 200
    for method in ("PUT", "POST", "DELETE"):
        lost = gateway.ask(method, KEY, b"3", If_Match=seen)
        assert (lost.status_code, lost.headers["ETag"]) == (412, newer.headers["ETag"])
    assert gateway.ask("DELETE", KEY, If_Match=newer.headers["ETag"]).status_code == 204


@pytest.mark.parametrize("tag", ["*", '"1"', '"0"', '"1", "0"', 'W/"1"', '"abc"'])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_nothing_matches_what_does_not_exist(gateway: Gateway, method: str, tag: str) -> None:
    """`"0"` neither, although etcd says 0 of such a key; and there is no tag to tell."""
    refused = gateway.ask(method, KEY, b"1", If_Match=tag)
    assert refused.status_code == 412
    assert "ETag" not in refused.headers
    assert gateway.ask("GET", KEY).status_code == 404


def test_one_of_several_tags_suffices(gateways: StartGateway) -> None:
    """Strong comparison with each of them."""
    one, other = gateways(), gateways()
    first = one.ask("PUT", KEY, b"1").headers["ETag"]
    one.ask("GET", KEY)
    second = other.ask("PUT", KEY, b"2").headers["ETag"]
    assert one.ask("PUT", KEY, b"3", If_Match=f'"1", {first}').status_code == 412
    assert one.ask("PUT", KEY, b"3", If_Match=f"{first}, {second}").status_code == 200
    assert one.ask("PUT", KEY, b"4", If_Match=f"W/{second}").status_code == 412


def test_the_current_tag_of_several_is_found_although_the_cache_lags_behind(gateways: StartGateway) -> None:
    """100 rounds, since the watch nearly always wins the race."""
    one, other = gateways(), gateways()
    seen = one.ask("PUT", KEY, b"1").headers["ETag"]
    for _ in range(100):
        one.ask("GET", KEY)
        current = other.ask("PUT", KEY, b"2").headers["ETag"]
        replaced = one.ask("PUT", KEY, b"3", If_Match=f"{seen}, {current}")
        assert replaced.status_code == 200
        seen = replaced.headers["ETag"]


@pytest.mark.parametrize("header", ["If_Match", "If_None_Match"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_malformed_condition_is_400(shared: Gateway, method: str, header: str) -> None:
    """Taking it for absent, as Flask's parser does, would overwrite what it was to protect."""
    etag = shared.ask("PUT", KEY, b'"before"').headers["ETag"]
    assert shared.ask(method, KEY, b"2", **{header: "42"}).status_code == 400
    assert shared.ask("GET", f"{KEY}?use_cache=false").headers["ETag"] == etag


def test_delete_if_absent_is_refused(gateway: Gateway) -> None:
    """It can only do nothing; its sender means something else."""
    assert gateway.ask("DELETE", KEY, If_None_Match="*").status_code == 400
