"""Bodies that an answer did not wait for, over a real socket: what becomes of them, and of the connection.

Hazard: the server ends the connection without having said so, and the next request over it, which behind a proxy is
another client's, is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.test_on_the_wire import Wire, request
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

MANY = 50
KEPT = b"[1]"


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    """A real process that has one document."""
    settings = {**etcd.settings("/unread"), "CACHE_STALENESS_BOUND": "30"}
    with InstanceProcess(tmp_path_factory.mktemp("unread"), **settings) as process:
        process.wait_for_slot()
        process.put("kept", KEPT)
        process.get("kept")
        yield process


@pytest.mark.parametrize("size", [1, 100, 20_000, 300_000, 3_000_000])
@pytest.mark.parametrize(
    ("method", "target", "header", "status"),
    [
        ("GET", b"/config/kept", b"X: y", 200),  # a hit
        ("GET", b"/config/kept?use_cache=false", b"X: y", 200),
        ("GET", b"/config/", b"X: y", 200),
        ("HEAD", b"/config/kept", b"X: y", 200),
        ("GET", b"/config/nothing", b"X: y", 404),
        ("GET", b"/healthz", b"X: y", 200),
        ("GET", b"/readyz", b"X: y", 200),
        ("GET", b"/metrics", b"X: y", 200),
        ("GET", b"/members", b"X: y", 200),
        ("GET", b"/", b"X: y", 200),
        ("GET", b"/openapi.yaml", b"X: y", 200),
        ("PUT", b"/nothing", b"X: y", 404),
        ("PUT", b"/healthz", b"X: y", 405),
        ("PUT", b"/config/a?x=1", b"X: y", 400),
        ("PUT", b"/config//a", b"X: y", 400),
        ("PUT", b"/config/a", b"Content-Encoding: gzip", 415),
        ("DELETE", b"/config/kept", b'If-Match: "1"', 412),
        ("DELETE", b"/config/nothing", b"X: y", 204),
        ("POST", b"/config/", b"Content-Encoding: gzip", 415),
    ],
)
def test_an_answer_that_did_not_want_the_body_says_that_the_connection_ends(
    instance: InstanceProcess, method: str, target: bytes, header: bytes, status: int, size: int
) -> None:
    """On all ways out; and the client can send all of it before it reads the answer."""
    with Wire(instance) as wire:
        answer = wire.insist(request(method, target, header, body=b"1" * size)).answer(bodiless=method == "HEAD")
        assert answer.status in (status, 413 if size > 1 << 20 else status)
        assert answer.headers["connection"] == "close"
        assert wire.line() == b""


def test_a_body_that_was_read_leaves_the_connection_as_it_is(instance: InstanceProcess) -> None:
    """Accepted or refused for what is in it."""
    with Wire(instance) as wire:
        for body, status in ((KEPT, 200), (b"[", 400), (KEPT, 200)):
            answer = wire.send(request("PUT", b"/config/kept", body=body)).answer()
            assert answer.status == status
            assert "connection" not in answer.headers


def test_a_client_that_uploads_20_mb_gets_its_answer(instance: InstanceProcess) -> None:
    """It reads when it has sent all: were the connection ended before, it would be reset, and the answer lost."""
    with Wire(instance) as wire:
        assert wire.insist(request("PUT", b"/config/big", body=b"1" * 20_000_000)).answer().status == 413
        assert wire.line() == b""


@pytest.mark.parametrize("size", [1, 20_000, 3_000_000])
def test_a_body_without_a_length_is_received_too(instance: InstanceProcess, size: int) -> None:
    """Its end can't be trusted (RFC 9112, 6.1: a proxy may have seen another), but the client gets its answer."""
    head = request("PUT", b"/config/a", b"Transfer-Encoding: chunked")
    with Wire(instance) as wire:
        answer = wire.insist(head + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"1" * size)).answer()
        assert (answer.status, answer.headers["connection"]) == (411, "close")
        assert wire.line() == b""


@pytest.mark.parametrize("header", [b"X: y", b"Expect: 100-continue"])
def test_a_client_that_has_not_sent_its_body_is_answered_at_once(instance: InstanceProcess, header: bytes) -> None:
    """It may wait for the answer before it sends more; who asks first is spared the body."""
    with Wire(instance) as wire:
        answer = wire.send(request("PUT", b"/nothing", header, b"Content-Length: 100")).answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")


@pytest.mark.fault("1,000 slow clients")
def test_clients_that_never_send_what_nobody_wants_are_in_nobodys_way(instance: InstanceProcess) -> None:
    """Each has its answer, the others are served, and bodies are received meanwhile."""
    slow = request("PUT", b"/nothing", b"Content-Length: 100") + b"1"
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(instance)).send(slow) for _ in range(MANY)]
        assert {wire.answer().headers["connection"] for wire in wires} == {"close"}
        other = stack.enter_context(Wire(instance))
        for _ in range(10):
            assert other.send(request("GET", b"/config/kept")).answer().body == KEPT
            assert other.send(request("PUT", b"/config/kept", body=KEPT)).answer().status == 200


def test_a_client_that_does_not_go_does_not_keep_an_instance_from_ending(etcd: EtcdServer, tmp_path: Path) -> None:
    """What nobody wants is received for a while only."""
    with InstanceProcess(tmp_path, **etcd.settings("/unread-end")) as instance, Wire(instance) as wire:
        wire.send(request("PUT", b"/nothing", b"Content-Length: 100") + b"1")
        assert wire.answer().status == 404
        assert instance.stop() == 0, instance.printed()
