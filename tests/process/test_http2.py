"""HTTP/2, which an instance speaks over TLS: the same answers, and the door's rules for another framing."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.http.accepting import MAX_HEADER, STREAMS
from tests.fault_matrix.scene import metric
from tests.support.etcd import EtcdServer
from tests.support.http2 import Answer, Headers, Http2
from tests.support.https import Https
from tests.support.instances import InstanceProcess, within

PROTOCOL_ERROR = 1
WHOLE = ("content-length", "5")


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Https:
    return Https.made(tmp_path_factory.mktemp("http2") / "tls")


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory, https: Https) -> Iterator[InstanceProcess]:
    settings = {**etcd.settings("/http2"), **https.settings()}
    with InstanceProcess(tmp_path_factory.mktemp("instance"), **settings) as started:
        started.wait_for_slot()
        yield started


@pytest.fixture
def client(instance: InstanceProcess, https: Https) -> Iterator[Http2]:
    """A connection of its own."""
    with ExitStack() as stack:
        yield Http2(stack.enter_context(https.connect(instance.port, "h2", "http/1.1")))


def request(method: str, path: str, *more: tuple[str, str], authority: str | None = "localhost") -> Headers:
    named = [] if authority is None else [(":authority", authority)]
    return [(":method", method), (":path", path), (":scheme", "https"), *named, *more]


def test_a_client_of_http_2_writes_and_reads(instance: InstanceProcess, https: Https) -> None:
    with httpx.Client(http2=True, verify=https.context(), trust_env=False, base_url=instance.url) as client:
        written = client.put("/config/a", content=b'{"limit": 10}')
        read = client.get("/config/a")
        assert (written.status_code, written.http_version) == (201, "HTTP/2")
        assert (read.content, read.http_version) == (b'{"limit": 10}', "HTTP/2")
        assert read.headers["etag"] == written.headers["etag"]
        assert "connection" not in read.headers
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_curl_speaks_it_and_http_1_1_as_it_is_told(instance: InstanceProcess, https: Https) -> None:
    for option, version in (("--http2", "2"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")):
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", option, "--cacert", str(https.directory / "ca.crt"), "-o", "/dev/null",
             "-w", "%{http_version} %{http_code}", f"{instance.url}/healthz"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.stdout == f"{version} 200", done.stderr


def test_requests_of_one_connection_do_not_wait_for_each_other(client: Http2, instance: InstanceProcess) -> None:
    waits = client.send(request("GET", "/changes?prefix=long/&wait=30"))
    first = client.answer(waits)  # without a token it is told all there is, at once
    token = first.body.decode().partition('"to": "')[2].partition('"')[0]
    waits = client.send(request("GET", f"/changes?prefix=long/&wait=30&after={token}"))
    assert client.ask(request("GET", "/healthz")).status == 200
    assert instance.put("long/a", b"1").status_code == 201
    assert b'"long/a"' in client.answer(waits).body


def test_a_request_that_is_taken_back_waits_no_more(client: Http2, instance: InstanceProcess) -> None:
    """Over HTTP/1.1 its connection would have to end for it."""
    first = client.ask(request("GET", "/changes?prefix=gone/"))
    token = first.body.decode().partition('"to": "')[2].partition('"')[0]
    waits = client.send(request("GET", f"/changes?prefix=gone/&wait=50&after={token}"))
    stream = client.send(request("GET", "/changes?prefix=gone/", ("accept", "text/event-stream")))
    assert within(5, lambda: metric(instance, "config_change_waiters") == 2)
    client.reset(waits)
    client.reset(stream)
    assert within(5, lambda: metric(instance, "config_change_waiters") == 0)
    assert client.ask(request("GET", "/healthz")).status == 200


REFUSED = {
    "a Transfer-Encoding": request("PUT", "/config/bad", WHOLE, ("transfer-encoding", "chunked")),
    "a Connection": request("PUT", "/config/bad", WHOLE, ("connection", "keep-alive")),
    "a body that is shorter": request("PUT", "/config/bad", ("content-length", "10")),
    "a body that is longer": request("PUT", "/config/bad", ("content-length", "3")),
    "two lengths that differ": request("PUT", "/config/bad", WHOLE, ("content-length", "6")),
    "a whole URL for a path": request("PUT", "https://localhost/config/bad", WHOLE),
    "no path": request("PUT", "", WHOLE),
    "a path without a slash": request("PUT", "config/bad", WHOLE),
    "a line's end in a header": request("PUT", "/config/bad", WHOLE, ("x-a", "b\r\ncontent-length: 3")),
    "a line's end in the path": request("PUT", "/config/bad HTTP/1.1\r\nhost: x", WHOLE),
    "a name in capitals": request("PUT", "/config/bad", WHOLE, ("X-A", "b")),
}


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_malformed_is_ended_and_nothing_is_written(
    client: Http2, instance: InstanceProcess, headers: Headers
) -> None:
    """Passed on over HTTP/1.1 it could be taken for another request (RFC 9113, 8.1.1 and 10.3)."""
    answer = client.ask(headers, b"12345")
    assert answer.reset == PROTOCOL_ERROR or client.goodbye is not None, answer
    assert answer.status == 0
    assert instance.get("bad").status_code == 404


ANSWERED = {
    "no length": (request("PUT", "/config/bad"), 411, "length-required"),
    "a length twice": (request("PUT", "/config/bad", WHOLE, WHOLE), 400, "invalid-length"),
    "no Host": (request("PUT", "/config/bad", WHOLE, authority=None), 400, "invalid-host"),
    "two Hosts": (request("PUT", "/config/bad", WHOLE, ("host", "a"), ("host", "b"), authority=None), 400, "two-hosts"),
    "a user in the Host": (request("PUT", "/config/bad", WHOLE, authority="a:b@localhost"), 400, "invalid-host"),
    "a foreign Host": (request("PUT", "/config/bad", WHOLE, authority="evil.example"), 403, "foreign-host"),
    "a foreign Host beside": (request("PUT", "/config/bad", WHOLE, ("host", "evil.example")), 403, "foreign-host"),
    "a foreign page": (request("PUT", "/config/bad", WHOLE, ("origin", "https://evil.example")), 403, "cross-origin"),
    "a range": (request("PUT", "/config/bad", WHOLE, ("content-range", "bytes 0-4/9")), 400, "content-range"),
    "a path that climbs": (request("PUT", "/config/../bad", WHOLE), 400, "invalid-key"),
}


@pytest.mark.parametrize(("headers", "status", "kind"), ANSWERED.values(), ids=ANSWERED.keys())
def test_the_door_refuses_what_it_refuses_over_http_1_1(
    client: Http2, instance: InstanceProcess, headers: Headers, status: int, kind: str
) -> None:
    """The Host is :authority, or the header Host where a client sends both; the server does not show the other."""
    answer = client.ask(headers, b"12345")
    assert (answer.status, kind.encode() in answer.body) == (status, True), answer
    assert instance.get("bad").status_code == 404
    assert client.ask(request("GET", "/healthz")).status == 200  # the connection is still there for others


def test_cookies_may_come_in_several_lines(client: Http2) -> None:
    """As HTTP/2 allows (RFC 9113, 8.2.3): the session in the second one counts."""
    name = client.ask(request("PUT", "/config/cookies", WHOLE), b"12345").headers["set-cookie"].partition("=")[0]
    ahead = request("GET", "/config/cookies", ("cookie", "a=b"), ("cookie", f"{name}=999999999"))
    assert client.ask(ahead).status == 410


def test_a_body_that_no_length_announces_is_left_unread_and_harms_nobody(client: Http2) -> None:
    answers: list[Answer] = [client.ask(request("GET", "/config/none"), b"x" * 10_000) for _ in range(30)]
    assert {answer.status for answer in answers} == {404}
    assert client.ask(request("PUT", "/config/after", WHOLE), b"12345").status in (200, 201)


def test_a_head_is_bounded_as_over_http_1_1(client: Http2) -> None:
    assert client.ask(request("GET", "/healthz", ("x-a", "b" * (MAX_HEADER + 1)))).status == 431
    assert client.ask(request("GET", "/healthz")).status == 200


def test_a_connection_has_so_many_requests_under_way_and_no_more(client: Http2) -> None:
    client.ask(request("GET", "/healthz"))
    assert client.streams == STREAMS


def test_a_crowd_over_a_few_connections_is_answered(instance: InstanceProcess, https: Https) -> None:
    seen: list[int] = []

    def ask() -> None:
        with https.connect(instance.port, "h2") as connection:
            client = Http2(connection)
            streams = [client.send(request("GET", "/config/none")) for _ in range(STREAMS)]
            seen.extend(client.answer(stream).status for stream in streams)

    crowd = [threading.Thread(target=ask) for _ in range(4)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert seen == [404] * 4 * STREAMS


def test_the_end_says_goodbye(etcd: EtcdServer, https: Https, tmp_path: Path) -> None:
    """What is under way is answered; the client knows that the rest was not taken."""
    with InstanceProcess(tmp_path, **etcd.settings("/http2-end"), **https.settings()) as ending:
        with https.connect(ending.port, "h2") as connection:
            client = Http2(connection)
            assert client.ask(request("GET", "/healthz")).status == 200
            ending.ask_to_stop()
            assert within(5, client.goodbye_said)
            assert client.goodbye == 0
        assert ending.wait() == 0
