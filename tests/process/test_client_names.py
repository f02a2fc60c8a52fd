"""TLS_CLIENT_NAMES: the name in a client's certificate gives it the rights of a token, without the token."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from config_client import CallFailed, Connection, Service
from tests.client.real_service import Command
from tests.process.test_https import RENEWED
from tests.process.test_https import refused as start_refused
from tests.support.certificates import Authority, Pair
from tests.support.etcd import EtcdServer, free_ports
from tests.support.http2 import Http2
from tests.support.https import Https
from tests.support.inside_port import ports_of
from tests.support.instances import InstanceProcess, within

pytestmark = pytest.mark.lasting

ANNA, BOSS = "anna-0123456789abcdef", "boss-0123456789abcdef"
BOTH = ["read", "write"]
TOKENS: list[dict[str, Any]] = [
    {"name": "ci", "scopes": BOTH, "prefix": "ci/", "certificate": "ci.example"},
    {"name": "robot", "scopes": BOTH, "prefix": "robot/", "certificate": "spiffe://example/robot"},
    {"name": "old", "scopes": ["read"], "certificate": "Old Client"},
    {"name": "anna", "token": ANNA, "scopes": BOTH, "prefix": "anna/", "certificate": "anna.example"},
    {"name": "boss", "token": BOSS, "scopes": ["admin"]},
]

FLEET = {"name": "fleet", "certificate": "localhost", "scopes": ["observe"]}


@dataclass
class Clients:
    """The authority of clients, and their files."""

    directory: Path
    authority: Authority = field(default_factory=Authority)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ca.write_bytes(self.authority.pem)

    @property
    def ca(self) -> Path:
        return self.directory / "clients.pem"

    def known_as(self, name: str) -> tuple[str, str]:
        """The files of a client with a certificate for this name of DNS."""
        return self.files(self.authority.issue(name))

    def files(self, pair: Pair) -> tuple[str, str]:
        found = (self.directory / f"{id(pair)}.crt", self.directory / f"{id(pair)}.key")
        for file, content in zip(found, (pair.cert, pair.key), strict=True):
            file.write_bytes(content)
        return str(found[0]), str(found[1])


@dataclass
class Named:
    """An instance at which names give rights."""

    instance: InstanceProcess
    https: Https
    clients: Clients
    tokens: Path
    settings: dict[str, str]

    def ask(self, cert: tuple[str, str] | None, method: str, path: str, **more: Any) -> requests.Response:
        """As a client that shows this, without a token."""
        self.instance.cert = cert
        return self.instance.request(method, path, **more)

    def context(self, cert: tuple[str, str], *alpn: str) -> ssl.SSLContext:
        context = self.https.context(*alpn)
        context.load_cert_chain(*cert)
        return context

    def connect(self, cert: tuple[str, str], *alpn: str) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.instance.port), timeout=10)
        return self.context(cert, *alpn).wrap_socket(plain, server_hostname="localhost")

    def shown(self, cert: tuple[str, str]) -> bytes:
        """The certificate that it shows to who shows this."""
        with self.connect(cert) as client:
            found = client.getpeercert(binary_form=True)
            assert found
            return ssl.DER_cert_to_PEM_cert(found).encode()

    @property
    def inside(self) -> int:
        """The port of the server behind the relay."""
        return max(ports_of(self.instance.pid) - {self.instance.port})


def first_of(pair: Pair) -> bytes:
    """The certificate, without those between it and its authority."""
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pair.cert.decode())).encode()


def resumed(named: Named, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", named.instance.port), timeout=10)
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def session_of(named: Named, context: ssl.SSLContext, before: ssl.SSLSession | None = None) -> ssl.SSLSession | None:
    """Of a connection over which something was answered; it has to be a new one."""
    with resumed(named, context, before) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert not client.session_reused
        session = client.session
        client.unwrap()  # or the library forgets it on the other side
        return session


def made(directory: Path, etcd: EtcdServer, prefix: str, **settings: str) -> Named:
    https, clients = Https.made(directory / "tls"), Clients(directory / "clients")
    clients.ca.write_bytes(clients.authority.pem + https.authority.pem)  # instances are clients of each other
    tokens = directory / "tokens.json"
    tokens.write_text(json.dumps(TOKENS))
    given = {
        **etcd.settings(prefix), **https.settings(), "TLS_CLIENT_CA": str(clients.ca), "TLS_CLIENT_NAMES": "true",
        "API_TOKENS_FILE": str(tokens), **settings,
    }  # fmt: skip
    instance = InstanceProcess(directory / "instance", **given)
    instance.cert = clients.known_as("probe.example")
    return Named(instance, https, clients, tokens, given)


@pytest.fixture(scope="module")
def shared(etcd: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    named = made(tmp_path_factory.mktemp("named"), etcd, "/names")
    with named.instance:
        named.instance.token = BOSS
        named.instance.wait_for_slot()
        yield named
        named.instance.cert = named.clients.known_as("probe.example")
        assert named.instance.stop() == 0


@pytest.fixture
def named(shared: Named) -> Named:
    shared.instance.token = ""
    return shared


@pytest.fixture
def own(etcd: EtcdServer, tmp_path: Path, prefix: str) -> Iterator[Named]:
    named = made(tmp_path, etcd, f"/{prefix}")
    with named.instance:
        yield named


def test_a_name_gives_the_rights_of_its_token_and_no_others(named: Named) -> None:
    """Over HTTP/1.1; the log and the history know the client by the token's name."""
    ci = named.clients.known_as("ci.example")
    assert named.ask(ci, "PUT", "/config/ci/app", data=b"1").status_code == 201
    assert named.ask(ci, "GET", "/config/ci/app").content == b"1"
    for method in ("GET", "PUT"):
        answer = named.ask(ci, method, "/config/anna/app", data=b"1")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, "insufficient-scope")
    assert named.ask(ci, "GET", "/metrics").status_code == 403
    assert named.ask(ci, "GET", "/history/ci/app").json()["changes"][0]["by"] == "ci"
    assert '"bearer": "ci"' in named.instance.printed()


def test_it_does_over_http_2_too(named: Named) -> None:
    context = named.context(named.clients.known_as("ci.example"))
    with httpx.Client(http2=True, verify=context, trust_env=False, base_url=named.instance.url) as client:
        written = client.put("/config/ci/h2", content=b"1")
        assert (written.status_code, written.http_version) == (201, "HTTP/2")
        assert client.get("/config/ci/h2").content == b"1"
        assert client.get("/config/anna/h2").status_code == 403


def test_a_certificate_with_another_name_gives_no_right(named: Named) -> None:
    """As without a token: what is open is answered, all else is 401. A common name counts where there is no other."""
    other = named.clients.known_as("other.example")
    assert named.ask(other, "GET", "/healthz").status_code == 200
    answer = named.ask(other, "GET", "/config/ci/app")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (401, "no-token")
    old = named.clients.files(named.clients.authority.issue_unnamed("Old Client"))
    assert named.ask(old, "GET", "/config/none").status_code == 404
    assert named.ask(old, "PUT", "/config/none", data=b"1").status_code == 403


def test_without_a_certificate_that_counts_nobody_is_let_in(named: Named) -> None:
    strangers = Clients(named.clients.directory / "strangers")
    past = named.clients.files(named.clients.authority.issue("ci.example", expired=True))
    servers = named.clients.files(named.clients.authority.issue_for_servers("ci.example"))
    for cert in (None, strangers.known_as("ci.example"), past, servers):
        with pytest.raises(requests.ConnectionError):
            named.ask(cert, "GET", "/healthz")

    def said() -> list[str]:
        return [line for line in named.instance.printed().splitlines() if "a client was not let in" in line]

    assert within(5, lambda: said() != []), "the log is written a moment later"
    assert '"reason": "PEER_DID_NOT_RETURN_A_CERTIFICATE", "address": "127.0.0.1"' in said()[0]
    assert len(said()) < 4, "once in ten seconds"


def test_a_session_is_not_resumed_but_over_tls_1_2(named: Named) -> None:
    """There the library keeps sessions itself; one has the certificate that it began with, and no other."""
    context = named.context(named.clients.known_as("ci.example"))
    session_of(named, context, session_of(named, context))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def refused_when_resumed() -> bool:
        with resumed(named, context, session_of(named, context)) as client:
            client.sendall(b"GET /config/anna/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 403 ")
            return bool(client.session_reused)

    assert within(5, refused_when_resumed)


def test_a_token_that_is_sent_decides_alone(named: Named) -> None:
    """A wrong one is 401, whatever the certificate; and so is a header that says nothing."""
    ci = named.clients.known_as("ci.example")
    for header, anna, own in ((f"Bearer {ANNA}", 404, 403), ("Bearer wrong-0123456789abcdef", 401, 401),
                              ("Basic YTpi", 401, 401), ("", 401, 401)):  # fmt: skip
        sent = {"Authorization": header}
        assert named.ask(ci, "GET", "/config/anna/none", headers=sent).status_code == anna, header
        assert named.ask(ci, "GET", "/config/ci/none", headers=sent).status_code == own, header
    anna_by_name = named.clients.known_as("anna.example")
    assert named.ask(anna_by_name, "GET", "/config/anna/none").status_code == 404


def test_the_list_of_tokens_tells_the_names(named: Named) -> None:
    sent = {"Authorization": f"Bearer {BOSS}"}
    told = named.ask(named.clients.known_as("probe.example"), "GET", "/members/tokens", headers=sent).json()["tokens"]
    assert told[0] == {"name": "ci", "scopes": BOTH, "prefix": "ci/", "certificate": "ci.example"}
    assert told[-1] == {"name": "boss", "scopes": ["admin"], "prefix": ""}


def test_a_connection_to_the_server_itself_is_nobodys(named: Named) -> None:
    """Of a program on this machine, whatever token it has, and from whatever address."""
    boss = f"Authorization: Bearer {BOSS}\r\n"
    for source, path in ((("127.0.0.1", 0), "/config/a"), (("127.7.7.7", 0), "/healthz")):
        with socket.create_connection(("127.0.0.1", named.inside), 10, source_address=source) as plain:
            plain.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{boss}\r\n".encode())
            answer = plain.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 403 "), answer
        assert b"foreign-connection" in answer


def test_the_library_and_configctl_need_no_token(named: Named, tmp_path: Path) -> None:
    cert, key = named.clients.known_as("ci.example")
    ca = named.https.directory / "ca.crt"
    given = Connection(named.instance.url, ca_file=ca, cert_file=cert, key_file=key, trust_env=False)
    with Service(given) as service:
        assert service.put("ci/library", b"1").revision > 0
        with pytest.raises(CallFailed, match="403"):
            service.put("anna/library", b"1")
    files = (f"--ca-file={ca}", f"--cert-file={cert}", f"--key-file={key}")
    command = Command(named.instance.url, tmp_path)
    assert command.run(*files, "set", "ci/library", "2").returncode == 0
    assert command.run(*files, "get", "ci/library").stdout.strip() == "2"
    (tmp_path / "boss").write_text(BOSS)
    heads, *rows = command.ok(*files, f"--token-file={tmp_path / 'boss'}", "tokens").splitlines()
    assert heads.split() == ["address", "name", "scopes", "prefix", "certificate"]
    assert [row.split()[-1] for row in rows if " ci " in row] == ["ci.example"]
    refused = command.run(*files, "set", "anna/library", "2")
    assert refused.returncode != 0
    assert "This token is for keys that start with 'ci/'" in refused.stderr


def test_a_large_document_passes_both_ways_to_a_client_that_reads_slowly(named: Named) -> None:
    """To its last byte, though the server ends the connection after it."""
    ci = named.clients.known_as("ci.example")
    text = json.dumps("x" * 1_000_000).encode()
    assert named.ask(ci, "PUT", "/config/ci/large", data=text).status_code == 201
    with named.connect(ci) as client:
        client.sendall(b"GET /config/ci/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = bytearray()
        while piece := client.recv(16_384):
            received += piece
            if len(received) < 400_000:
                within(0.02, lambda: False)
    assert received.endswith(text)


def test_a_stream_passes_and_names_are_read_again_with_the_tokens(own: Named) -> None:
    ci = own.clients.known_as("ci.example")
    own.instance.token = BOSS
    own.instance.wait_for_slot()
    own.instance.token = ""
    url, ca, accepts = f"{own.instance.url}/changes?prefix=ci/", own.https.directory / "ca.crt", "text/event-stream"
    with requests.get(url, stream=True, timeout=30, cert=ci, verify=str(ca), headers={"Accept": accepts}) as stream:
        lines = stream.iter_lines()
        assert own.ask(ci, "PUT", "/config/ci/a", data=b"1").status_code == 201
        assert any(b'"key": "ci/a"' in line for line in lines)
    own.tokens.write_text(json.dumps([*TOKENS[1:], {**TOKENS[0], "certificate": "CI-2.example"}]))
    assert within(10, lambda: own.ask(ci, "GET", "/config/ci/a").status_code == 401)
    assert own.ask(own.clients.known_as("ci-2.example"), "GET", "/config/ci/a").status_code == 200


def test_renewed_files_count_for_new_connections_and_earlier_ones_are_answered_to_their_end(own: Named) -> None:
    ci, later = own.clients.known_as("ci.example"), Clients(own.clients.directory / "later")
    old = own.context(ci)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    session = session_of(own, old)
    with own.connect(ci) as kept, own.connect(ci, "h2") as plain:
        both = Http2(plain)
        own.clients.ca.write_bytes(later.authority.pem)
        pair = own.https.renew()
        known = later.known_as("ci.example")
        assert within(30, lambda: own.shown(known) == first_of(pair)), own.instance.printed()
        assert within(5, lambda: RENEWED in own.instance.printed())
        kept.sendall(b"GET /config/ci/none HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = kept.recv(4096)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"connection: close\r\n" in answer.lower()
        head = [(":method", "GET"), (":path", "/config/ci/none"), (":scheme", "https"), (":authority", "localhost")]
        assert both.ask(head).status == 404
    with pytest.raises(requests.ConnectionError):
        own.ask(ci, "GET", "/healthz")
    with pytest.raises((ssl.SSLError, ConnectionError)), resumed(own, old, session):
        pass
    assert own.ask(known, "GET", "/config/ci/none").status_code == 404
    assert own.instance.stop() == 0


def test_what_is_under_way_is_answered_before_it_ends(own: Named) -> None:
    """And what a client has not read yet is not lost; one that says nothing is not waited for."""
    ci = own.clients.known_as("ci.example")
    text = json.dumps("x" * 1_000_000).encode()
    assert own.ask(ci, "PUT", "/config/ci/large", data=text).status_code == 201
    with own.connect(ci) as client, own.connect(ci), socket.create_connection(("127.0.0.1", own.instance.port)):
        client.sendall(b"GET /config/ci/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = bytearray(client.recv(100))
        own.instance.ask_to_stop()
        while piece := client.recv(65_536):
            received += piece
    assert received.endswith(text)
    assert own.instance.wait(5) == 0


def test_the_whole_fleet_answers_by_the_name_of_the_instance_that_asks(own: Named, tmp_path: Path) -> None:
    """A certificate can't be passed on as a token is. Until that name stands for a token, the others refuse."""
    boss = own.clients.known_as("boss.example")
    tokens = [*TOKENS[:-1], {**TOKENS[-1], "certificate": "boss.example"}]
    own.tokens.write_text(json.dumps(tokens))
    beside = InstanceProcess(tmp_path / "beside", **{**own.settings, "PORT": str(free_ports(1)[0])})
    beside.cert = boss
    with beside:
        assert within(20, lambda: own.ask(boss, "GET", "/members/states").status_code == 200)
        assert within(20, lambda: states(own, boss) == [None, True]), own.ask(boss, "GET", "/members/states").text
        own.tokens.write_text(json.dumps([*tokens, FLEET]))
        assert within(20, lambda: states(own, boss) == [True, True]), own.ask(boss, "GET", "/members/states").text
        assert beside.stop() == 0


def states(named: Named, cert: tuple[str, str]) -> list[bool | None]:
    """Whether each instance says that it is ready; None of one that says nothing."""
    members = named.ask(cert, "GET", "/members/states").json()["members"]
    return sorted(((each["state"] or {}).get("ready") for each in members), key=str)


def test_workers_do_the_same_at_each_port(etcd: EtcdServer, tmp_path: Path, prefix: str) -> None:
    port = free_ports(4)[0]
    first = free_ports(2)[0]
    own = made(tmp_path, etcd, f"/{prefix}", PORT=str(port), WORKERS="2", WORKER_PORT=str(first))
    ci = own.clients.known_as("ci.example")
    with own.instance:
        assert within(20, lambda: own.instance.printed().count("joined the fleet") >= 2)
        for each in [first, first + 1, *[port] * 6]:
            own.instance.port = each
            assert own.ask(ci, "PUT", "/config/ci/a", data=b"1").status_code in (200, 201)
            assert own.ask(ci, "GET", "/config/anna/a").status_code == 403
        assert own.instance.stop() == 0


def test_settings_that_would_give_no_right_or_every_right_are_refused(tmp_path: Path) -> None:
    https, clients = Https.made(tmp_path / "tls"), Clients(tmp_path / "clients")
    names, ca = {"TLS_CLIENT_NAMES": "true"}, {"TLS_CLIENT_CA": str(clients.ca)}
    tokens = {"API_TOKENS": json.dumps(TOKENS)}
    alone = start_refused(tmp_path, **https.settings(), **names, **tokens)
    assert "TLS_CLIENT_NAMES is true, and TLS_CLIENT_CA is not set, so that nobody vouches for a name" in alone
    assert "TLS_CLIENT_NAMES is true, and there are no tokens" in start_refused(
        tmp_path, **https.settings(), **names, **ca
    )
    unused = start_refused(tmp_path, **https.settings(), **ca, **tokens)
    assert "API_TOKENS can't be used: the token ci has a certificate, and TLS_CLIENT_NAMES is not true" in unused
