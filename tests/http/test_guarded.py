"""Guarded keys over HTTP, on a real etcd: whatever way a write takes, everybody reads it when it has been answered."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import Gateway, StartGateway
from tests.http.test_changes import changes, streaming
from tests.http.test_policy import in_force, problem, put
from tests.support.etcd import EtcdServer, wait_for
from tests.support.silent import announced, op_at

KEY = "g/1"
GUARDED = {"guarded": ["g/"]}
BOUND = 2.0
"""Seconds. For so long an instance that has just started doesn't know who has gone before it came (rule 12)."""


@pytest.fixture
def two(gateways: StartGateway) -> tuple[Gateway, Gateway]:
    """Instances that have KEY in memory, which is guarded."""
    one, other = (gateways(cache_staleness_bound=BOUND) for _ in range(2))
    for gateway in (one, other):
        wait_for(lambda gateway=gateway: len(gateway.cache.status().members) == 2, what="a fleet of two")  # type: ignore[misc]
    in_force(one, GUARDED)
    assert one.ask("PUT", f"/config/{KEY}", b'{"at": 0}').status_code == 201
    for gateway in (one, other):
        wait_for(lambda gateway=gateway: source(gateway) == "HIT", what="a hit")  # type: ignore[misc]
    return one, other


def source(gateway: Gateway) -> str:
    return gateway.ask("GET", f"/config/{KEY}").headers["X-Cache"]


def batch(gateway: Gateway) -> TestResponse:
    operations = [{"op": "put", "key": KEY, "value": {"at": 1}}, {"op": "put", "key": "p/1", "value": 1}]
    return gateway.ask("POST", "/config/", json.dumps({"operations": operations}).encode())


def rolled_back(gateway: Gateway) -> TestResponse:
    """To what it was at the write before."""
    before = json.loads(gateway.ask("GET", f"/history/{KEY}").data)["changes"][0]["revision"]
    assert gateway.ask("PUT", f"/config/{KEY}", b'{"at": 7}').status_code == 200
    return gateway.ask("POST", "/rollback", json.dumps({"prefix": KEY, "revision": before}).encode())


WAYS: dict[str, tuple[Callable[[Gateway], TestResponse], bytes | None]] = {
    "put": (lambda gateway: gateway.ask("PUT", f"/config/{KEY}", b'{"at": 1}'), b'{"at": 1}'),
    "post": (lambda gateway: gateway.ask("POST", f"/config/{KEY}", b'{"at": 1}'), b'{"at": 1}'),
    "if match": (lambda gateway: gateway.ask("PUT", f"/config/{KEY}", b'{"at": 1}', If_Match="*"), b'{"at": 1}'),
    "sync": (lambda gateway: gateway.ask("PUT", f"/config/{KEY}?sync=true", b'{"at": 1}'), b'{"at": 1}'),
    "delete": (lambda gateway: gateway.ask("DELETE", f"/config/{KEY}"), None),
    "batch": (batch, b'{"at": 1}'),
    "rollback": (rolled_back, b'{"at": 0}'),
}


@pytest.mark.parametrize("way", WAYS)
def test_when_it_is_answered_everybody_reads_it(two: tuple[Gateway, Gateway], way: str) -> None:
    one, other = two
    write, expected = WAYS[way]
    answer = write(one)
    assert answer.status_code in (200, 204), answer.text
    for gateway in (other, one):
        found = gateway.ask("GET", f"/config/{KEY}")
        assert (found.status_code, found.data) == ((200, expected) if expected else (404, found.data))


def test_it_says_how_many_hold_the_key_where_that_is_asked(two: tuple[Gateway, Gateway]) -> None:
    one, _ = two
    assert one.ask("PUT", f"/config/{KEY}?sync=true", b"1").headers["X-Fleet-Acks"] == "2/2"
    assert "X-Fleet-Acks" not in one.ask("PUT", f"/config/{KEY}", b"2").headers


def test_what_a_schema_refuses_is_refused_before_anything_is_announced(two: tuple[Gateway, Gateway]) -> None:
    one, _ = two
    in_force(one, {**GUARDED, "schemas": [{"prefix": "g/", "schema": {"type": "object"}}]})
    at = one.ask("GET", "/config/?prefix=g/").headers["X-Config-Revision"]
    problem(one.ask("PUT", f"/config/{KEY}", b"1"), 422, "policy-violation")
    assert one.ask("GET", "/config/?prefix=g/").headers["X-Config-Revision"] == at


class TestFollowing:
    """Rule 18: the version of an intent names no key. Who follows passes over it, and goes on from there as well."""

    def test_a_token_of_an_intent_leads_to_what_was_written_on_each_instance(
        self, two: tuple[Gateway, Gateway], gateways: StartGateway, etcd: EtcdServer
    ) -> None:
        """On the one that gave it out; on another; and on one that knows of those days by etcd alone."""
        one, other = two
        start = changes(other, "prefix=g/")["to"]
        with announced(etcd, one.prefix, lambda: one.ask("PUT", f"/config/{KEY}", b'{"at": 1}')) as (writing, held_at):
            for gateway in two:
                wait_for(lambda gateway=gateway: gateway.cache.status().horizon >= held_at)  # type: ignore[misc]
            silence = changes(other, f"prefix=g/&after={start}")
            assert silence["revision"] >= held_at
            assert (silence["changes"], silence["reset"]) == ([], False)
            assert op_at(etcd, one.prefix, silence["revision"]) == "intent"
            assert changes(one, f"prefix=g/&after={silence['to']}")["changes"] == []
            assert other.ask("GET", f"/config/{KEY}").data == b'{"at": 0}'
        revision = int(writing.result().headers["X-Config-Revision"])
        third = gateways(cache_staleness_bound=BOUND)
        for gateway in (one, other, third):
            wait_for(lambda gateway=gateway: gateway.cache.status().horizon >= revision)  # type: ignore[misc]
            for token in (start, silence["to"]):
                told = changes(gateway, f"prefix=g/&after={token}")
                assert not told["reset"]
                assert [(each["key"], each["mod_revision"], each["value"]) for each in told["changes"]] == [
                    (KEY, revision, '{"at": 1}')
                ]

    def test_a_stream_tells_of_the_commit_and_of_nothing_else(
        self, two: tuple[Gateway, Gateway], etcd: EtcdServer
    ) -> None:
        one, other = two
        with streaming(other, "prefix=g/") as stream:
            before = len(stream.until("sync"))
            with announced(etcd, one.prefix, lambda: one.ask("PUT", f"/config/{KEY}", b'{"at": 1}')) as (_, held_at):
                wait_for(lambda: other.cache.status().horizon >= held_at)
                assert [event.name for event in stream.look()[before:]] in ([], ["sync"])
            stream.until("put", 2)
            told = stream.until("sync", 2)[before:]
            assert [event.data["key"] for event in told if event.name == "put"] == [KEY]
            assert {event.name for event in told} == {"put", "sync"}


def test_nothing_more_is_guarded_while_an_older_instance_is_there(gateways: StartGateway, etcd: EtcdServer) -> None:
    """It has said nothing of guarded keys; whoever puts its key by hand says as little."""
    gateway = gateways(cache_staleness_bound=BOUND)
    lease = etcd.etcdctl("lease", "grant", "600").split()[1]
    etcd.etcdctl("put", f"{gateway.prefix}/members/07", "{}", f"--lease={lease}")
    refused = problem(put(gateway, GUARDED, If_None_Match="*"), 409, "fleet-too-old")
    assert "07" in refused["detail"]
    assert refused["outcome"] == "not done"
    etcd.etcdctl("lease", "revoke", lease)
    assert put(gateway, GUARDED, If_None_Match="*").status_code == 201
