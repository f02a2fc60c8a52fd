"""Writes over real sockets: what was done is told from what was not, and from what nobody knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from config_client import (
    CallFailed,
    Delete,
    Denied,
    Gone,
    NoSuchKey,
    OutcomeUnknown,
    PreconditionFailed,
    Put,
    Rejected,
    Unavailable,
)
from tests.client.scripted_server import Received, ScriptedServer
from tests.client.test_shells import Make, started

DONE = {"X-Config-Revision": "7"}


def putting(make: Make, server: ScriptedServer, *more: str, **options: Any) -> tuple[Future[Any], Received]:
    """A put that is under way, and the request that it has sent."""
    client = make([server.url, *more], prefix="app/", **options)
    started(client, server)
    future = ThreadPoolExecutor(1).submit(
        client.put, "limit", {"é": 1.5}, if_match=4, reason="na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve\n", sync=True
    )
    return future, server.take()


def test_a_put_is_what_the_service_expects(make: Make, server: ScriptedServer) -> None:
    future, request = putting(make, server, token="secret")
    assert (request.method, request.path, request.query) == ("PUT", "/config/app/limit", {"sync": "true"})
    assert request.body == '{"é": 1.5}'.encode()
    assert request.headers["if-match"] == '"4"'
    assert request.headers["x-change-reason"] == "na%C3%AFve%0A"
    assert request.headers["authorization"] == "Bearer secret"
    request.answer(200, b"", DONE)
    assert future.result(20).revision == 7


def test_a_batch_is_sent_byte_for_byte(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    started(client, server)
    operations = [
        Put("a%20b", b'{"a": 1.10}', if_match=0),
        Put("c", None, if_match=3),
        Delete("d", if_match=4),
        Delete("e"),
    ]
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(client.batch, operations)
        request = server.take()
        assert (request.method, request.path) == ("POST", "/config/")
        assert b'"value": {"a": 1.10}}' in request.body
        assert json.loads(request.body) == {
            "operations": [
                {"op": "put", "key": "app/a%20b", "if_none_match": "*", "value": {"a": 1.1}},
                {"op": "put", "key": "app/c", "if_match": "3", "value": None},
                {"op": "delete", "key": "app/d", "if_match": "4"},
                {"op": "delete", "key": "app/e"},
            ]
        }
        results = [{"key": "k", "op": "put", "existed": each} for each in (False, True, True, False)]
        request.answer(200, json.dumps({"revision": 9, "results": results}).encode(), {"X-Config-Revision": "9"})
        written = batch.result(20)
    assert (written.revision, written.existed) == (9, (False, True, True, False))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (lambda r: r.problem(412, "precondition-failed", "It is at 5."), PreconditionFailed, "412, It is at 5."),
        (lambda r: r.problem(403, "insufficient-scope", "For reading."), Denied, "403, For reading."),
        (lambda r: r.problem(400, "invalid-json", "At 3."), Rejected, "400, At 3."),
        (lambda r: r.problem(410, "compacted", "It is."), Gone, "410, It is."),
        (lambda r: r.problem(404, "not-found", "There is none."), NoSuchKey, "There is none."),
        (lambda r: r.problem(503, "no-answer", "etcd is away."), Unavailable, "503, etcd is away."),
        (lambda r: r.problem(504, "outcome-unknown", "Sent.", "unknown"), OutcomeUnknown, "504, Sent."),
        (lambda r: r.problem(500, "internal", "Oh.", "unknown"), OutcomeUnknown, "500, Oh."),
        (lambda r: r.answer(502, b"<html>"), OutcomeUnknown, "502, an answer of 502 that is none of config-service's"),
        (lambda r: r.answer(503, b"<html>"), OutcomeUnknown, "503, an answer of 503"),
        (lambda r: r.answer(307, headers={"Location": "http://x/"}), Rejected, "it redirects to http://x/"),
        (lambda r: r.close(), OutcomeUnknown, "and not answered"),
    ],
)
def test_errors_say_whether_it_happened(
    make: Make, server: ScriptedServer, answer: Callable[[Received], None], error: type[Exception], said: str
) -> None:
    future, request = putting(make, server)
    answer(request)
    with pytest.raises(error) as raised:
        future.result(20)
    assert said in str(raised.value)
    assert str(raised.value).startswith("PUT app/limit:")
    if isinstance(raised.value, CallFailed) and raised.value.status == 412:
        assert raised.value.kind == "precondition-failed"
    assert [request for request in server.left() if request.method == "PUT"] == [], "it was not sent again"


@pytest.mark.parametrize("name", ["../limit", "a/../limit", "./limit", "a/.", "\udcff"])
def test_a_name_that_leads_to_another_document_is_never_sent(make: Make, server: ScriptedServer, name: str) -> None:
    """An HTTP library makes `app/limit` of `app/a/../limit`, and would overwrite that."""
    client = make(server.url, prefix="app/")
    started(client, server)
    for write in (lambda: client.put(name, 1), lambda: client.delete(name)):
        with ThreadPoolExecutor(1) as pool, pytest.raises(Rejected, match="is no key"):
            pool.submit(write).result(5)
    assert [request.path for request in server.left() if request.method != "GET"] == []


def test_a_write_that_was_certainly_not_done_goes_elsewhere(
    make: Make, server: ScriptedServer, other: ScriptedServer
) -> None:
    """An instance that can't be reached, then one that says so; one that doesn't answer is the end of it."""
    with ScriptedServer() as gone:
        nobody = gone.url
    client = make([server.url, nobody, other.url], prefix="app/")
    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(client.start)
        stream = first_of(server, other)
        stream.stream(*SNAPSHOT_PIECES)
        starting.result(20)
        put = pool.submit(client.put, "limit", 1)
        server.take().problem(503, "draining", "Elsewhere, please.")
        other.take().answer(201, b"1", DONE)
        assert put.result(20).revision == 7


def test_a_write_that_a_stranger_answers_goes_nowhere_else(
    make: Make, server: ScriptedServer, other: ScriptedServer
) -> None:
    """A proxy that gave up on the service: what was sent to that may have been done."""
    client = make([server.url, other.url], prefix="app/")
    with ThreadPoolExecutor(2) as pool:
        starting = pool.submit(client.start)
        first_of(server, other).stream(*SNAPSHOT_PIECES)
        starting.result(20)
        put = pool.submit(client.put, "limit", 1)
        server.take().answer(503, b"<html>")
        with pytest.raises(OutcomeUnknown):
            put.result(20)
    assert other.left() == []


def first_of(*servers: ScriptedServer) -> Received:
    """The request that comes first to any of them."""
    while True:
        for each in servers:
            if not each.is_quiet:
                return each.take()


SNAPSHOT_PIECES = (b'event: sync\ndata: {"to": "5-a", "revision": 5, "age": 0.1}\n\n',)
