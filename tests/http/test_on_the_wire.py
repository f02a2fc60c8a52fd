"""The contract byte by byte over a real socket: what a server makes of a request before the application sees it.

Hazards: bodies cut short pass as whole, both framings at once are accepted, paths and headers arrive transformed.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from service.http.accepting import MAX_HEADER
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

DEADLINE = 10.0


@pytest.fixture(scope="module")
def instance(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InstanceProcess]:
    """A real process with a bound wide enough for hits to stay hits."""
    settings = {**etcd.settings("/on-the-wire"), "CACHE_STALENESS_BOUND": "30"}
    with InstanceProcess(tmp_path_factory.mktemp("wire"), **settings) as process:
        process.wait_for_slot()
        yield process


@dataclass(frozen=True)
class Raw:
    """One response, taken apart. `status` is 0 when the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """A connection that says exactly what it is told to."""

    def __init__(self, instance: InstanceProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", instance.port), DEADLINE)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes) -> Wire:
        """A server that refuses may answer and close before all is sent: what it said can still be read."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)
        return self

    def insist(self, data: bytes) -> Wire:
        """Sends all of it. Raises OSError when the server has closed before."""
        self._socket.sendall(data)
        return self

    def end(self) -> Wire:
        """Nothing more will be sent; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)
        return self

    def is_answered(self) -> bool:
        """Whether there is something to be read."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def line(self) -> bytes:
        """Empty at the end, however the server brought it about."""
        try:
            return self._file.readline()
        except ConnectionResetError:
            return b""

    def answer(self, *, bodiless: bool = False) -> Raw:
        """The next response; `bodiless` when it answers a HEAD."""
        first = self.line().split()
        if not first:
            return Raw(0, {}, b"")
        headers = {}
        while (line := self.line().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = 0 if bodiless else int(headers.get("content-length", 0))
        return Raw(int(first[1]), headers, self._file.read(length))


def request(method: str, target: bytes, *headers: bytes, body: bytes | None = None) -> bytes:
    """A request that is in order, apart from what the test puts in."""
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"Host: localhost", *headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def ask(instance: InstanceProcess, data: bytes, *, bodiless: bool = False) -> Raw:
    """One request on a connection of its own."""
    with Wire(instance) as wire:
        return wire.send(data).answer(bodiless=bodiless)


def is_refused(answer: Raw, *statuses: int) -> bool:
    """A refusal is a problem document, unless the server itself refused before the application saw anything."""
    document = answer.headers.get("content-type") == "application/problem+json"
    return answer.status in statuses and (document or answer.body == b"")


def put(instance: InstanceProcess, key: bytes, body: bytes) -> Raw:
    return ask(instance, request("PUT", b"/config/" + key, body=body))


def stored(instance: InstanceProcess, key: bytes) -> bytes | None:
    """What etcd has."""
    answer = ask(instance, request("GET", b"/config/" + key + b"?use_cache=false"))
    assert answer.status in (200, 404)
    return answer.body if answer.status == 200 else None


@pytest.mark.fault("malformed input of any kind")
def test_a_body_that_is_cut_short_changes_nothing(instance: InstanceProcess) -> None:
    """The client sent 3 of 6 bytes, `123` of `123456`, and went: JSON all the same, but not what it meant."""
    put(instance, b"cut", b"1")
    with Wire(instance) as wire:
        answer = (
            wire.send(b"PUT /config/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n123").end().answer()
        )
    assert is_refused(answer, 400)
    assert b"3 bytes" in answer.body
    assert stored(instance, b"cut") == b"1"


@pytest.mark.fault("malformed input of any kind")
@pytest.mark.parametrize(
    ("framing", "statuses"),
    [
        (b"Transfer-Encoding: chunked", (411,)),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1", (411,)),
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked", (411,)),
        (b"Transfer-Encoding: gzip, chunked", (411,)),
        (b"Transfer-Encoding: gzip", (400, 411)),
        (b"X: y", (411,)),  # no framing at all
        (b"Content-Length: 1\r\nContent-Length: 2", (400,)),
        (b"Content-Length: 1, 1", (400,)),
        (b"Content-Length: +1", (400,)),
        (b"Content-Length: 1\r\nHost: other", (400,)),
        (b"Content-Length: 99999999999999999999", (400,)),
        (b"Content-Length: 1048577", (413,)),
    ],
)
def test_framing_that_could_be_read_in_two_ways_writes_nothing(
    instance: InstanceProcess, framing: bytes, statuses: tuple[int, ...]
) -> None:
    """A proxy in front may see another request than the application does."""
    head = b"PUT /config/framing HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
    assert is_refused(ask(instance, head + b"1\r\n1\r\n0\r\n\r\n"), *statuses)
    assert stored(instance, b"framing") is None


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_request_without_use_for_a_body_may_not_be_chunked_either(instance: InstanceProcess, method: str) -> None:
    """What one side takes for a body, the other may take for the next request."""
    assert is_refused(ask(instance, request(method, b"/config/x", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"), 411)


@pytest.mark.fault("malformed input of any kind")
def test_a_body_that_is_refused_is_not_taken_for_the_next_request(instance: InstanceProcess) -> None:
    """What was not read of a body must not be executed."""
    smuggled = request("PUT", b"/config/smuggled", body=b"1")
    for head in (
        b"PUT /config/a HTTP/1.1\r\nHost: [::1]\r\nContent-Length: %d\r\nContent-Encoding: gzip\r\n\r\n"
        % len(smuggled),
        b"GET /config/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled),
        b"DELETE /config/a?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled),
        b"PUT /config//a HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled),
    ):
        with Wire(instance) as wire:
            wire.send(head + smuggled)
            assert wire.answer().status in (400, 404, 415)
    assert stored(instance, b"smuggled") is None


def test_one_connection_carries_many_requests(instance: InstanceProcess) -> None:
    """Refusals, empty answers and HEAD in between leave it in step."""
    with Wire(instance) as wire:
        assert wire.send(request("PUT", b"/config/many", body=b"[1]")).answer().status in (200, 201)
        assert wire.send(request("PUT", b"/config/many", body=b"[1")).answer().status == 400
        head = wire.send(request("HEAD", b"/config/many")).answer(bodiless=True)
        assert (head.status, head.headers["content-length"]) == (200, "3")
        etag = head.headers["etag"].encode()
        not_modified = wire.send(request("GET", b"/config/many", b"If-None-Match: " + etag)).answer()
        assert (not_modified.status, not_modified.body) == (304, b"")
        assert wire.send(request("DELETE", b"/config/many")).answer().status == 204
        assert wire.send(request("GET", b"/config/many")).answer().status == 404
        assert wire.send(request("GET", b"/healthz")).answer().status == 200


def test_head_has_the_headers_of_get(instance: InstanceProcess) -> None:
    """Also through the server: a hit, an absent key and a listing."""
    put(instance, b"head", b'"12345"')
    for target in (b"/config/head", b"/config/not-there", b"/config/?prefix=head"):
        ask(instance, request("GET", target))
        get = ask(instance, request("GET", target))
        head = ask(instance, request("HEAD", target), bodiless=True)
        assert (head.status, head.body) == (get.status, b"")
        assert head.headers | {"date": ""} == get.headers | {"date": ""}
        assert int(head.headers["content-length"]) == len(get.body)


@pytest.mark.fault("malformed input of any kind")
@pytest.mark.parametrize(
    "target",
    [
        b"/config/",
        b"/config//a",
        b"/config/%2Fa",
        b"/config/a%2F",
        b"/config/a/../b",
        b"/config/a/%2e%2e/b",
        b"/config/%2e",
        b"/config/%ff%fe",
        b"/config/%EF%BF%BD",
        b"/config/%zz",
        b"/config/%25zz",
        b"/config/a%",
        b"/config/a%4",
        b"/config/a?sync=true%",
        b"/config/a?use_cache=%zz",
        b"/config/%00",
        b"/config/a%0d%0ab",
        b"/config/%c2%85",
        b"/config/" + b"a" * 513,
        b"//config/a",
        b"/%2Fconfig/a",
        b"/CONFIG/a",
        b"*",
        b"/config/a?use_cache=%ff",
        b"/config/\xff",
        b"/config/" + b"a" * 100_000,
    ],
)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_a_malformed_target_is_refused_and_never_redirected(
    instance: InstanceProcess, method: str, target: bytes
) -> None:
    """Fault matrix: 400, 404, 405, 414, and 431 for what is longer than the server reads; nothing is written under any
    other key."""
    if (method, target) == ("GET", b"/config/"):
        return  # the listing
    before = ask(instance, request("GET", b"/config/")).body
    answer = ask(instance, request(method, target, body=b"1" if method == "PUT" else None))
    assert is_refused(answer, *((431,) if len(target) > MAX_HEADER else (400, 404, 405, 414)))
    assert ask(instance, request("GET", b"/config/")).body.partition(b'"revision"')[0] in before


def test_a_key_is_decoded_once(instance: InstanceProcess) -> None:
    """`%252e` is the key `%2e`; `a%2Fb` is the key `a/b`, like `a/b`."""
    put(instance, b"once/%252e%252e", b"1")
    put(instance, b"once%2Fb", b"2")
    put(instance, b"once/%C3%BC", b"3")
    listing = ask(instance, request("GET", b"/config/?prefix=once/")).body.decode()
    assert all(f'"key": "once/{key}"' in listing for key in ("%2e%2e", "b", "ü"))
    assert stored(instance, b"once/b") == b"2"


@pytest.mark.fault("malformed input of any kind")
def test_a_body_nested_50_000_deep_is_400(instance: InstanceProcess) -> None:
    """Hazard: RecursionError, and a 500."""
    assert is_refused(put(instance, b"deep", b"[" * 50_000 + b"]" * 50_000), 400)
    assert is_refused(put(instance, b"deep", b'{"a":' * 50_000), 400)
    assert stored(instance, b"deep") is None


def test_a_client_that_asks_first_is_told_to_go_on(instance: InstanceProcess) -> None:
    """`Expect: 100-continue`, as curl does with larger bodies."""
    with Wire(instance) as wire:
        wire.send(b"PUT /config/expect HTTP/1.1\r\nHost: [::1]\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert wire.line().startswith(b"HTTP/1.1 100")
        assert wire.line() == b"\r\n"
        assert wire.send(b"[1]").answer().status == 201
    assert stored(instance, b"expect") == b"[1]"


def test_a_client_that_asks_first_is_spared_a_body_that_would_be_refused(instance: InstanceProcess) -> None:
    """The refusal comes instead of the 100: the body need not be sent."""
    with Wire(instance) as wire:
        wire.send(
            b"PUT /config/big HTTP/1.1\r\nHost: [::1]\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        )
        assert wire.answer().status == 413


def test_two_lines_of_a_condition_are_one_list(instance: InstanceProcess) -> None:
    """RFC 9110, 5.3: a server that kept only one of them would let a write through or refuse it wrongly."""
    for ours_first in (True, False):
        etag = put(instance, b"lines", b"1").headers["etag"].encode()
        lines = [b"If-Match: " + tag for tag in ((etag, b'"1"') if ours_first else (b'"1"', etag))]
        assert ask(instance, request("PUT", b"/config/lines", *lines, body=b"2")).status == 200
    refused = ask(instance, request("PUT", b"/config/lines", b'If-Match: "1"', b'If-Match: "2"', body=b"3"))
    assert refused.status == 412


@pytest.mark.fault("malformed input of any kind")
@pytest.mark.parametrize(
    ("header", "statuses"),
    [
        (b"If-Match: \xff", (400,)),
        (b"If-Match:", (400,)),
        (b"If-None-Match: \xff", (400,)),
        (b"If-None-Match: *\r\nIf-None-Match: \xff", (400,)),
        (b'If-Match: "1"\r\nIf-Match: \xff', (400,)),
        (b'If-Match: \xff\r\nIf-Match: "1"', (400,)),
        (b"Content-Encoding: \xff", (415,)),
        (b"Content-Encoding: identity\r\nContent-Encoding: \xff", (415,)),
        (b"Transfer-Encoding: \xff", (400, 411)),
        (b"Transfer-Encoding: identity", (400, 411)),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: \xff", (400, 411)),
        (b"Content-Length: \xff", (400,)),
        (b"Content-Length: 1\r\nContent-Length: \xff", (400,)),
        (b"Content-Range: bytes 0-0/9", (400,)),
        (b"Content-Range: \xff", (400,)),
        (b"Origin: http://evil.example", (403,)),
        (b"Origin: \xff", (403,)),
        (b"Origin:", (403,)),
        (b"Origin: http://localhost\r\nOrigin: \xff", (403,)),
        (b"Sec-Fetch-Site: cross-site", (403,)),
        (b"Sec-Fetch-Site: \xff", (403,)),
        (b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: \xff", (403,)),
        (b"Host: \xff", (400,)),
        (b"Host: localhost", (400,)),
        (b"Host:", (400,)),
    ],
)
def test_a_header_that_guards_something_is_never_ignored(
    instance: InstanceProcess, header: bytes, statuses: tuple[int, ...]
) -> None:
    """Alone, or on a line of its own beside one that is in order. What is not ASCII is malformed, and not absent."""
    put(instance, b"guarded", b"1")
    for method, body in (("PUT", b"2"), ("POST", b"2"), ("DELETE", None)):
        if method != "DELETE" or b"Content-Encoding" not in header:
            assert is_refused(ask(instance, request(method, b"/config/guarded", header, body=body)), *statuses)
    if b"If-" not in header:
        batch = b'{"operations": [{"op": "delete", "key": "guarded"}]}'
        assert is_refused(ask(instance, request("POST", b"/config/", header, body=batch)), *statuses)
    assert stored(instance, b"guarded") == b"1"


@pytest.mark.parametrize(
    ("cookies", "source"),
    [
        (b"Cookie:", "REVALIDATED"),
        (b"Cookie: OURS=1\r\nCookie:", "REVALIDATED"),
        (b"Cookie: OURS=\xff", "REVALIDATED"),
        (b"Cookie: OURS=x", "REVALIDATED"),
        (b"Cookie: OURS=1\r\nCookie: OURS=\xff", "REVALIDATED"),
        (b"Cookie: config_revision=1", "REVALIDATED"),
        (b"Cookie: a=\xff", "HIT"),  # somebody else's cookie, which is no session
        (b"Cookie: a=\xff; OURS=1", "HIT"),
        (b"Cookie: OURS=1\r\nCookie: a=\xff", "HIT"),
        (b"Cookie: a=\xff\r\nCookie: OURS=1", "HIT"),
        (b"Cookie: a=\xff\r\nCookie: OURS=999999999", None),
    ],
)
def test_a_session_that_arrives_garbled_is_not_taken_for_none(
    instance: InstanceProcess, cookies: bytes, source: str | None
) -> None:
    """Rule 10: what it has seen may be newer than what is in memory, so etcd is asked whether that is the last.

    Every line is seen, and every byte of it: a session beside what is not ASCII counts. None: its revision is not known
    here, which is told.
    """
    ours = put(instance, b"session", b"1").headers["set-cookie"].partition("=")[0].encode()
    ask(instance, request("GET", b"/config/session"))
    assert ask(instance, request("GET", b"/config/session")).headers["x-cache"] == "HIT"
    known = ask(instance, request("GET", b"/config/session", b"Cookie: a=b\r\nCookie: " + ours + b"=1"))
    assert known.headers["x-cache"] == "HIT"
    for query in (b"", b"?use_cache=true", b"?stale_if_error=60"):
        answer = ask(instance, request("GET", b"/config/session" + query, cookies.replace(b"OURS", ours)))
        if source is None:
            assert is_refused(answer, 410)
        else:
            assert (answer.status, answer.headers["x-cache"]) == (200, source)


@pytest.mark.fault("malformed input of any kind")
@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host:\r\n",
        b"Host: \xff\r\n",
        b"Host: localhost\r\nHost: localhost\r\n",
        b"Host: localhost\r\nHost: \xff\r\n",
        b"Host: a b\r\n",
        b"Host: http://localhost\r\n",
        b"Host: localhost:x\r\n",
        b"Host: [::1\r\n",
    ],
)
@pytest.mark.parametrize("target", [b"/config/host", b"/config/", b"/healthz", b"/", b"/no-such-page"])
def test_a_request_names_one_host(instance: InstanceProcess, hosts: bytes, target: bytes) -> None:
    """RFC 9112, 3.2: 400 for none, for two, and for what is none."""
    assert is_refused(ask(instance, b"GET " + target + b" HTTP/1.1\r\n" + hosts + b"\r\n"), 400)


def test_a_client_of_http_1_0_need_not_name_a_host(instance: InstanceProcess) -> None:
    """HAProxy's health checks don't."""
    assert ask(instance, b"GET /readyz HTTP/1.0\r\n\r\n").status == 200


def test_a_foreign_host_is_refused_by_who_listens_on_this_machine_alone(instance: InstanceProcess) -> None:
    """DNS rebinding: to a browser, such a name is the page's own site."""
    for target in (b"/config/host", b"/config/", b"/healthz", b"/", b"/no-such-page"):
        for method in (b"GET ", b"PUT ", b"DELETE "):
            head = method + target + b" HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"
            assert is_refused(ask(instance, head), 403)


@pytest.mark.fault("malformed input of any kind")
def test_huge_headers_are_no_fault(instance: InstanceProcess) -> None:
    """Answered or refused; and the next request is answered."""
    for header in (
        b"X: " + b"a" * 70_000,
        b"Cookie: " + b"config_revision_0123456789abcdef=1;" * 1_000,
        b"X: " + b"a" * 1_000_000,
    ):
        assert ask(instance, request("GET", b"/config/headers", header)).status in (0, 400, 404, 431)
    condition = b"If-None-Match: " + b'"1", ' * 10_000 + b'"2"'
    assert ask(instance, request("GET", b"/config/headers", condition)).status in (400, 404, 431)
    assert ask(instance, request("GET", b"/healthz")).status == 200


@pytest.mark.parametrize("name", [b"Content_Length", b"Transfer_Encoding", b"Host_", b"If_Match", b"X_Request_Id"])
def test_a_name_with_an_underscore_is_no_other_one(instance: InstanceProcess, name: bytes) -> None:
    """As a variable it would be the same as the one with a hyphen, which proxies check."""
    put(instance, b"underscore", b"1")
    answer = ask(instance, request("PUT", b"/config/underscore", name + b": 7", body=b"2"))
    assert (answer.status, answer.headers["x-request-id"] != "7") == (200, True)
    smuggled = b"GET /config/underscore HTTP/1.1\r\nHost_: localhost\r\n\r\n"
    assert is_refused(ask(instance, smuggled), 400)


@pytest.mark.fault("malformed input of any kind")
@pytest.mark.parametrize(
    "start",
    [
        b"GET /config/\0a HTTP/1.1",
        b"GET /config/a\0 HTTP/1.1",
        b"GET  /config/a HTTP/1.1",
        b"GET /config/a b HTTP/1.1",
        b"GET /config/a",
        b"GET /config/a HTTP/9.9",
        b"GET config/a HTTP/1.1",
        b"GET HTTP/1.1",
        b"\xff /config/a HTTP/1.1",
        b"G\0T /config/a HTTP/1.1",
        b"CONNECT localhost:80 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /config/a#b HTTP/1.1",
    ],
)
def test_a_start_line_that_is_none_is_refused(instance: InstanceProcess, start: bytes) -> None:
    """By the server or by the door; nothing is answered as if it were a key."""
    assert ask(instance, start + b"\r\nHost: localhost\r\n\r\n").status in (0, 400, 404, 405)
    assert ask(instance, request("GET", b"/healthz")).status == 200


@pytest.mark.parametrize("authority", [b"localhost", b"evil.example"])
def test_an_absolute_target_is_answered_for_its_path_under_the_host_of_the_header(
    instance: InstanceProcess, authority: bytes
) -> None:
    """Proxies may send it, pages never do. The server shows its path alone, so the door looks at Host as ever."""
    put(instance, b"absolute", b"[7]")
    start = b"GET http://" + authority + b"/config/absolute HTTP/1.1\r\nHost: "
    answer = ask(instance, start + b"localhost\r\n\r\n")
    assert (answer.status, answer.body) == (200, b"[7]")
    assert is_refused(ask(instance, start + b"evil.example\r\n\r\n"), 403)
    assert is_refused(ask(instance, start + b"\r\n\r\n"), 400)


def test_a_client_of_http_1_0_is_answered_and_left(instance: InstanceProcess) -> None:
    put(instance, b"old", b"[7]")
    with Wire(instance) as wire:
        answer = wire.send(b"GET /config/old HTTP/1.0\r\n\r\n").answer()
        assert (answer.status, answer.body, wire.line()) == (200, b"[7]", b"")
    with Wire(instance) as wire:
        wire.send(b"PUT /config/old HTTP/1.0\r\nContent-Length: 3\r\n\r\n[8]")
        assert (wire.answer().status, wire.line()) == (200, b"")
    assert stored(instance, b"old") == b"[8]"


def test_what_came_whole_is_done_though_its_client_has_closed_its_half(instance: InstanceProcess) -> None:
    """Which the server takes for gone: it gets no answer, as after any other loss it has to look.

    What the server has not handed over by then it may drop, so there are a few tries.
    """

    def is_done() -> bool:
        with Wire(instance) as wire:
            answer = wire.send(request("PUT", b"/config/half", body=b"[7]")).end().answer()
        assert answer.status in (0, 200, 201)
        return within(DEADLINE / 5, lambda: stored(instance, b"half") == b"[7]")

    assert any(is_done() for _ in range(5))
    with Wire(instance) as wire:
        assert wire.send(request("GET", b"/config/half")).end().answer().body in (b"", b"[7]")


def test_requests_that_come_together_are_all_answered_in_their_order(instance: InstanceProcess) -> None:
    """HTTP/1.1 pipelining. To look whether a client has gone must not take its next request away."""
    puts = [request("PUT", b"/config/together", body=b"[%d]" % number) for number in range(10)]
    gets = [request("GET", b"/config/together?use_cache=false"), request("GET", b"/healthz")]
    with Wire(instance) as wire:
        wire.send(b"".join(each for put_ in puts for each in (put_, *gets)))
        for number in range(10):
            assert wire.answer().status in (200, 201)
            assert wire.answer().body == b"[%d]" % number
            assert wire.answer().status == 200


def test_the_answers_of_the_wire_are_those_of_the_contract(instance: InstanceProcess) -> None:
    """Headers survive the server: the session cookie, the tag, the truth about the cache."""
    created = put(instance, b"contract", b'{"a":  1}')
    assert (created.status, created.body) == (201, b'{"a":  1}')
    assert created.headers["location"] == "/config/contract"
    revision = created.headers["x-config-revision"]
    assert created.headers["etag"] == f'"{revision}"'
    name, _, rest = created.headers["set-cookie"].partition("=")
    assert re.fullmatch("config_revision_[0-9a-f]{16}", name)
    assert rest == f"{revision}; Path=/config; HttpOnly; SameSite=Lax"
    session = f"Cookie: {name}={revision}".encode()
    sources = [ask(instance, request("GET", b"/config/contract", session)).headers["x-cache"] for _ in range(2)]
    assert sources == ["MISS", "HIT"]
