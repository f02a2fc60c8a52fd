"""One of two endpoints is bad: real gRPC servers that are no etcd, proxies that refuse, beside a real etcd.

Every code of gRPC, in etcd's words and in others', for each kind of call: only etcd's words about a request are final.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest

from consistency.core.events import EndpointDown, EndpointUp, Event
from consistency.core.store import BadCredentials, OutcomeUnknown, Put, StoreError, Unavailable, Want
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.etcd.conftest import version
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.driver import run, until
from tests.support.etcd import EtcdServer, free_ports
from tests.support.stranger import Stranger

TIMEOUT = 5.0
PASSWORD = "correct-horse"
USER = {"user": "app", "password": PASSWORD}
OURS = Authority()
THEIRS = Authority()

CODES = tuple(code.name for code in grpc.StatusCode)

ETCD_WORDS = {
    "INVALID_ARGUMENT": "duplicate key given in txn request",
    "NOT_FOUND": "requested lease not found",
    "ALREADY_EXISTS": "something that a later release says",
    "FAILED_PRECONDITION": "lease already exists",
    "OUT_OF_RANGE": "too large lease TTL",
    "PERMISSION_DENIED": "permission denied",
    "UNAUTHENTICATED": "invalid auth token",
    "DATA_LOSS": "corrupt cluster",
    "UNAVAILABLE": "no leader",
    "RESOURCE_EXHAUSTED": "too many requests",
}
FINAL = frozenset(ETCD_WORDS) - {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
"""Codes that, with etcd's words, say something about the request, or about the cluster as a whole."""


def etcd_says(code: str) -> str:
    return f"etcdserver: {ETCD_WORDS.get(code, 'something else')}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The etcd that is well."""
    with EtcdServer(tmp_path_factory.mktemp("well")) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One that demands a user."""
    with EtcdServer(tmp_path_factory.mktemp("guarded")) as server:
        server.enable_auth(root="root-pw", user="app", password=PASSWORD, prefix="")
        yield server


@pytest.fixture(scope="module")
def stranger() -> Iterator[Stranger]:
    """The endpoint that is not well."""
    with Stranger() as stranger:
        yield stranger


class Client:
    """A store with two endpoints, and what it told."""

    def __init__(self, *endpoints: str, prefix: str = "bad", **more: str) -> None:
        self.events: list[Event] = []
        self.store = EtcdStore(EtcdConfig(endpoints, prefix, **more), observer=self.events.append)  # type: ignore[arg-type]

    def read(self) -> object:
        return run(self.store.read([Want("a")], None, timeout=TIMEOUT))

    def write(self) -> object:
        return run(self.store.commit([Put("a", b"1")], version("a"), timeout=TIMEOUT))

    def watch(self) -> object:
        stream = run(self.store.watch(1, 1, timeout=TIMEOUT))
        stream.close()
        return stream

    def renew(self) -> object:
        lease = run(self.store.grant(60, timeout=TIMEOUT))
        left = run(self.store.keep_alive(lease.id, timeout=TIMEOUT))
        assert left > 0
        return left

    def down(self) -> list[str]:
        return [event.endpoint for event in self.events if isinstance(event, EndpointDown)]


CALLS: dict[str, Callable[[Client], object]] = {
    "read": Client.read,
    "write": Client.write,
    "watch": Client.watch,
    "keep-alive": Client.renew,
    "authenticate": Client.read,
}


def outcome_of(call: str, endpoints: tuple[str, ...]) -> str:
    """What comes of one call of a new store: "done", or the error."""
    client = Client(*endpoints, **(USER if call == "authenticate" else {}))
    try:
        CALLS[call](client)
    except StoreError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        run(client.store.close())
    return "done"


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("bad", ["first", "second"])
@pytest.mark.parametrize("words", ["etcd's", "foreign"])
def test_only_the_words_of_etcd_are_final(
    server: EtcdServer, guarded: EtcdServer, stranger: Stranger, call: str, code: str, bad: str, words: str
) -> None:
    """Whatever else comes back, with whatever code, is about the endpoint: the other one is asked, and answers."""
    well = (guarded if call == "authenticate" else server).endpoint
    stranger.will_say(code, etcd_says(code) if words == "etcd's" else "RBAC: access denied, says the proxy")
    found = outcome_of(call, (stranger.endpoint, well) if bad == "first" else (well, stranger.endpoint))
    if bad == "first" and words == "etcd's" and code in FINAL:
        assert etcd_says(code) in found
    else:
        assert found == "done"
    assert bool(stranger.asked) is (bad == "first")


def times_written(server: EtcdServer, prefix: str) -> int:
    client = Client(server.endpoint, prefix=prefix)
    try:
        return run(client.store.read([], None, timeout=TIMEOUT)).version.count
    finally:
        run(client.store.close())


@pytest.mark.parametrize("passed_on", [True, False], ids=["passed on", "not passed on"])
@pytest.mark.parametrize("code", CODES)
def test_a_write_that_a_proxy_refuses_is_in_doubt_unless_the_method_is_not_there(
    server: EtcdServer, prefix: str, code: str, passed_on: bool
) -> None:
    """Rule 1: a proxy may have passed it on before it said so. Whatever it says, the write happens at most once."""
    behind = server.endpoint.removeprefix("http://")
    with Stranger(behind, {"Txn"}, after_passing_on=passed_on) as proxy:
        proxy.will_say(code, "upstream connect error or disconnect/reset before headers")
        client = Client(proxy.endpoint, server.endpoint, prefix=prefix)
        if code == "UNIMPLEMENTED" and not passed_on:
            client.write()
            assert times_written(server, prefix) == 1
        elif code != "UNIMPLEMENTED":  # a server that has done it does not say that it can't
            with pytest.raises(OutcomeUnknown, match=proxy.endpoint):
                client.write()
            assert times_written(server, prefix) == int(passed_on)
            client.write()  # the next one goes to the other endpoint
            assert times_written(server, prefix) == int(passed_on) + 1
        run(client.store.close())


@pytest.mark.parametrize(("call", "method"), [("watch", "Watch"), ("keep-alive", "LeaseKeepAlive")])
@pytest.mark.parametrize("code", CODES)
def test_streams_that_a_proxy_refuses_go_elsewhere(server: EtcdServer, call: str, method: str, code: str) -> None:
    """It answers reads, so every probe finds it well."""
    with Stranger(server.endpoint.removeprefix("http://"), {method}) as proxy:
        proxy.will_say(code, "streams are not allowed here")
        assert outcome_of(call, (proxy.endpoint, server.endpoint)) == "done"
        assert method in proxy.asked


# --- certificates


BAD_CERTIFICATES: dict[str, Callable[[], Pair]] = {
    "no subjectAltName": lambda: OURS.issue_unnamed("127.0.0.1"),
    "no subjectAltName, another name": lambda: OURS.issue_unnamed("etcd.example.org"),
    "another name": lambda: OURS.issue("etcd.example.org"),
    "expired": lambda: OURS.issue("127.0.0.1", expired=True),
    "not valid yet": lambda: OURS.issue("127.0.0.1", early=True),
    "another authority": lambda: THEIRS.issue("127.0.0.1"),
}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The etcd whose certificate fits."""
    directory = tmp_path_factory.mktemp("secure")
    with EtcdServer(directory, tls=TlsFiles.write(directory / "tls", OURS.issue("127.0.0.1"))) as server:
        yield server


@pytest.fixture(scope="module", params=BAD_CERTIFICATES)
def doubtful(request: pytest.FixtureRequest) -> Iterator[str]:
    """The endpoint of a gRPC server whose certificate does not fit."""
    pair = BAD_CERTIFICATES[request.param]()
    server = grpc.server(None)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pair.key, pair.cert)]))
    server.start()
    yield f"https://127.0.0.1:{port}"
    server.stop(0).wait(5)


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
@pytest.mark.parametrize("call", ["read", "write", "watch", "keep-alive"])
@pytest.mark.parametrize("bad", ["first", "second"])
def test_one_wrong_certificate_of_two_stops_nothing(secure: EtcdServer, doubtful: str, call: str, bad: str) -> None:
    """Nothing was sent there: writes go on as reads do."""
    endpoints = (doubtful, secure.endpoint) if bad == "first" else (secure.endpoint, doubtful)
    client = Client(*endpoints, ca_cert=OURS.pem)  # type: ignore[arg-type]
    CALLS[call](client)
    assert client.down() == ([doubtful] if bad == "first" else [])
    run(client.store.close())


def test_a_wrong_certificate_everywhere_is_told_of_each_endpoint(doubtful: str) -> None:
    """What an operator can do something about, and where."""
    client = Client(doubtful, "https://127.0.0.1:1", ca_cert=OURS.pem)  # type: ignore[arg-type]
    with pytest.raises(BadCredentials, match=rf"{doubtful}: its TLS certificate .*; https://127.0.0.1:1: connection"):
        client.read()
    run(client.store.close())


# --- other servers


class Page(BaseHTTPRequestHandler):
    """A web server."""

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[str]:
    """HTTP, but not gRPC."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def greeter() -> Iterator[str]:
    """A server that speaks first, as those for mail and SSH do."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as greeted:
            while True:
                client = greeted.enter_context(listener.accept()[0])
                client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    thread = threading.Thread(target=greet)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.mark.fault("one of two endpoints is no etcd, or has a wrong certificate")
@pytest.mark.parametrize("other", ["web", "greeter"])
@pytest.mark.parametrize("call", ["read", "write", "watch", "keep-alive"])
def test_a_server_that_does_not_speak_grpc_stops_nothing(
    server: EtcdServer, request: pytest.FixtureRequest, other: str, call: str
) -> None:
    """A wrong port in the settings."""
    assert outcome_of(call, (request.getfixturevalue(other), server.endpoint)) == "done"


@pytest.mark.parametrize("other", ["web", "greeter"])
def test_a_server_that_does_not_speak_grpc_is_told(request: pytest.FixtureRequest, other: str) -> None:
    """At once: it will not become an etcd while the read waits."""
    assert "it does not speak gRPC" in outcome_of("read", (request.getfixturevalue(other),))


# --- another cluster


@pytest.mark.lasting
def test_an_endpoint_of_another_cluster_is_not_asked_for_ours(server: EtcdServer, tmp_path: Path, prefix: str) -> None:
    """A list that mixes clusters: an instance that began with one does not serve the other's data, or write there."""
    with EtcdServer(tmp_path, name="other") as other, Stranger(server.endpoint.removeprefix("http://")) as ours:
        client = Client(ours.endpoint, other.endpoint, prefix=prefix)
        client.write()
        ours.refuses = frozenset({"Range", "Txn"})
        ours.will_say("UNAVAILABLE", "no healthy upstream")
        for call in (client.read, client.write, client.watch):
            with pytest.raises(Unavailable, match=rf"{other.endpoint}: it is of another etcd cluster"):
                call()
        ours.refuses = frozenset()
        client.write()
        run(client.store.close())
        assert times_written(other, prefix) == 0
        assert times_written(server, prefix) == 2


# --- an endpoint that fails, and is well again


def test_an_endpoint_that_fails_is_told_once_and_used_again_when_it_is_well(server: EtcdServer, prefix: str) -> None:
    """Nobody has to ask it for that: it is looked at again, and being the first of the settings, it leads again."""
    with Stranger(server.endpoint.removeprefix("http://"), {"Range", "Txn"}) as proxy:
        proxy.will_say("PERMISSION_DENIED", "RBAC: access denied")
        client = Client(proxy.endpoint, server.endpoint, prefix=prefix)
        for _ in range(20):
            client.read()
        assert client.down()[:1] == [proxy.endpoint]
        assert proxy.asked.count("Txn") == 1, "20 reads, and one of them asked it"
        proxy.refuses = frozenset()
        assert until(lambda: EndpointUp(proxy.endpoint) in client.events), "it is looked at again"
        proxy.asked.clear()
        client.read()
        assert proxy.asked == ["Txn"]
        run(client.store.close())


def test_what_each_endpoint_said_is_in_the_message(server: EtcdServer, stranger: Stranger) -> None:
    """Also when the last word was etcd's."""
    stranger.will_say("UNAUTHENTICATED", "Jwt is missing")
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = outcome_of("read", (stranger.endpoint, nobody))
    assert f"{stranger.endpoint}: it does not answer as etcd does" in found
    assert "(UNAUTHENTICATED: Jwt is missing)" in found
    assert f"{nobody}: connection refused" in found
    with Stranger(server.endpoint.removeprefix("http://"), {"Txn"}) as denying:
        denying.will_say("PERMISSION_DENIED", "etcdserver: permission denied")
        found = outcome_of("read", (stranger.endpoint, denying.endpoint))
        assert found.startswith(f"Denied: read at {stranger.endpoint}: it does not answer as etcd does")
        assert found.endswith(f"at {denying.endpoint}: etcdserver: permission denied")
