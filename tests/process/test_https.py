"""HTTPS: what is shown to clients, how it is renewed, and that nobody is lost meanwhile."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from service.http import trial
from service.process.startup import StartupError
from service.tls.shown import Material
from tests.fault_matrix.scene import metric
from tests.support.certificates import Authority, Pair
from tests.support.etcd import EtcdServer, free_ports
from tests.support.https import LOCAL, Https, serial
from tests.support.instances import InstanceProcess, environment, run_service, within

pytestmark = pytest.mark.lasting

RENEWED = "the certificate has been renewed"
STAYS = "the certificate stays as it was"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def https(tmp_path: Path) -> Https:
    return Https.made(tmp_path / "tls")


@pytest.fixture
def start(etcd: EtcdServer, tmp_path: Path, prefix: str) -> Iterator[Callable[..., InstanceProcess]]:
    """Starts instances of one fleet, with settings."""
    with contextlib.ExitStack() as stack:
        number = iter(range(10))

        def started(**settings: str) -> InstanceProcess:
            made = InstanceProcess(tmp_path / f"{next(number)}", **etcd.settings(f"/{prefix}"), **settings)
            stack.callback(made.kill)
            return made.start()

        yield started


@pytest.fixture
def instance(start: Callable[..., InstanceProcess], https: Https) -> InstanceProcess:
    return start(**https.settings()).wait_until_ready()


def renewed(instance: InstanceProcess, times: int = 1) -> bool:
    return within(30, lambda: instance.printed().count(RENEWED) >= times)


@contextlib.contextmanager
def crowd_at(instance: InstanceProcess, https: Https) -> Iterator[tuple[list[str], list[bytes]]]:
    """Clients that connect again and again: what some of them lost, and what all others were answered."""
    stop, lost, seen = threading.Event(), list[str](), list[bytes]()

    def connect() -> None:
        while not stop.is_set():
            try:
                with https.connect(instance.port) as client:
                    client.sendall(GET)
                    seen.append(client.recv(4096)[:15])
            except OSError as error:
                lost.append(repr(error))

    crowd = [threading.Thread(target=connect) for _ in range(4)]
    for each in crowd:
        each.start()
    try:
        yield lost, seen
    finally:
        stop.set()
        for each in crowd:
            each.join()


def renew_and_look(instance: InstanceProcess, https: Https, times: int) -> None:
    pair = https.renew()
    assert renewed(instance, times), instance.printed()
    assert https.shown(instance.port) == serial(pair)


def test_it_speaks_https_and_nothing_else(instance: InstanceProcess, https: Https) -> None:
    assert instance.put("a", b"1").status_code == 201
    assert instance.get("a").content == b"1"
    assert within(5, lambda: f"address: https://127.0.0.1:{instance.port}" in instance.printed())
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{instance.port}/healthz", timeout=5)
    instance.verify = True
    with pytest.raises(requests.exceptions.SSLError):
        instance.request("GET", "/healthz")
    with https.connect(instance.port) as client:
        assert client.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1], ids=lambda each: each.name)
def test_tls_1_2_is_the_least(instance: InstanceProcess, https: Https, version: ssl.TLSVersion) -> None:
    context = https.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        pytest.warns(DeprecationWarning, match="TLSv1_1")
        if version < ssl.TLSVersion.TLSv1_2
        else contextlib.nullcontext()
    ):
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", instance.port), 10) as plain:
        if version < ssl.TLSVersion.TLSv1_2:
            with pytest.raises(ssl.SSLError, match=r"(?i)version|alert"):
                context.wrap_socket(plain, server_hostname="localhost")
        else:
            with context.wrap_socket(plain, server_hostname="localhost") as client:
                assert client.version() == "TLSv1.2"


def test_a_renewed_certificate_is_shown_to_new_clients_and_no_connection_is_lost(
    instance: InstanceProcess, https: Https
) -> None:
    """Neither one that is made meanwhile, nor one that is there: its next answer says that it ends."""
    with crowd_at(instance, https) as (lost, seen):
        renew_and_look(instance, https, 1)
        renew_and_look(instance, https, 2)
        with https.connect(instance.port) as kept:
            renew_and_look(instance, https, 3)
            kept.sendall(GET)
            assert b"connection: close\r\n" in kept.recv(4096).lower()
            assert kept.recv(4096) == b""
    assert lost == []
    assert len(seen) > 50
    assert set(seen) == {b"HTTP/1.1 200 OK"}


def test_workers_renew_it_one_after_another_and_lose_nobody_either(
    start: Callable[..., InstanceProcess], https: Https
) -> None:
    """At the port that they share; then all of them show the new one, at their own ports, too, and get connections."""
    port = free_ports(4)[0]
    instance = start(**https.settings(), PORT=str(port), WORKERS="2", WORKER_PORT=str(free_ports(2)[0]))
    instance.wait_until_ready()
    own = [int(each) for each in re.findall(r"worker \d: process \d+, 127.0.0.1:(\d+)", instance.printed())]
    assert within(10, lambda: instance.printed().count("slot 0") >= 1)
    with crowd_at(instance, https) as (lost, seen):
        pair = https.renew()
        assert renewed(instance, 2)
        time.sleep(2)  # each lets go of its earlier server after a second
        before = len(seen)
        assert within(5, lambda: len(seen) > before + 20)
    assert lost == []
    assert {https.shown(each) for each in (port, *own)} == {serial(pair)}
    assert {https.shown(port) for _ in range(20)} == {serial(pair)}
    assert instance.stop() == 0


def test_a_stream_goes_on_under_the_certificate_that_it_began_with(instance: InstanceProcess, https: Https) -> None:
    instance.wait_for_slot()
    headers = {"Accept": "text/event-stream"}
    with requests.get(
        f"{instance.url}/changes?prefix=a", headers=headers, stream=True, timeout=20, verify=str(instance.verify)
    ) as stream:
        https.renew()
        assert renewed(instance)
        assert instance.put("a/b", b"1").status_code == 201
        assert any(b'"key": "a/b"' in line for line in stream.iter_lines())
    assert instance.stop() == 0


def test_sighup_renews_at_once_and_is_not_taken_for_a_closed_terminal(instance: InstanceProcess, https: Https) -> None:
    pair = https.renew()
    instance.process.send_signal(signal.SIGHUP)
    assert within(2, lambda: https.shown(instance.port) == serial(pair)), instance.printed()
    instance.process.send_signal(signal.SIGHUP)
    assert instance.stop() == 0
    assert instance.printed().count(RENEWED) == 1  # the second one found nothing new


def test_files_that_can_not_be_used_change_nothing_until_they_are_put_right(
    instance: InstanceProcess, https: Https
) -> None:
    before = https.shown(instance.port)
    pair = https.authority.issue("localhost")
    https.mount(type(pair)(pair.cert, https.authority.issue("localhost").key))
    assert within(10, lambda: STAYS in instance.printed())
    assert "it is not the key of the certificate in TLS_CERT" in instance.printed()
    assert https.shown(instance.port) == before
    assert metric(instance, "config_tls_files_unusable") == 1
    https.mount(https.authority.issue("localhost", expired=True))
    assert within(10, lambda: "it expired at" in instance.printed())
    pair = https.renew()
    assert renewed(instance)
    assert https.shown(instance.port) == serial(pair)
    assert metric(instance, "config_tls_files_unusable") == 0


def test_the_end_of_the_certificate_is_a_metric(instance: InstanceProcess) -> None:
    assert metric(instance, "config_tls_certificate_expires_timestamp_seconds") > time.time() + 86_400


def test_clients_without_a_certificate_are_not_let_in_where_one_is_asked_for_and_it_gives_no_right(
    start: Callable[..., InstanceProcess], https: Https, tmp_path: Path
) -> None:
    """The server does not tell whose it is: rights are a token's."""
    clients = Authority()
    (tmp_path / "clients.pem").write_bytes(clients.pem)
    tokens = [{"name": "anna", "token": "anna-0123456789abc", "scopes": ["read"]}]
    instance = start(
        **https.settings(),
        TLS_CLIENT_CA=str(tmp_path / "clients.pem"),
        API_TOKENS=json.dumps(tokens),
        LOG_LEVEL="ERROR",
    )
    paths = []
    for name, authority in (("client", clients), ("stranger", Authority())):
        pair = authority.issue("anna")
        files = [tmp_path / f"{name}.{kind}" for kind in ("crt", "key")]
        files[0].write_bytes(pair.cert)
        files[1].write_bytes(pair.key)
        paths.append((str(files[0]), str(files[1])))
    instance.cert = paths[0]
    instance.wait_until_ready()
    assert instance.get("a").status_code == 401
    instance.token = "anna-0123456789abc"
    assert instance.get("a").status_code == 404
    for cert in (None, paths[1]):
        instance.cert = cert
        with pytest.raises(requests.ConnectionError):
            instance.get("a")


def refused(tmp_path: Path, **settings: str) -> str:
    """What a start that can't succeed says; it is one message, and nothing secret is in it."""
    done = run_service(tmp_path, env=environment(HOST="127.0.0.1", PORT=str(free_ports(1)[0]), **settings))
    assert done.returncode == 1, done.stderr
    assert "BEGIN PRIVATE KEY" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "instance").exists(), "nothing was started"
    return done.stderr


CASES: dict[str, tuple[Callable[[Authority], tuple[bytes, bytes]], str, str]] = {
    "another's key": (
        lambda ca: (ca.issue("a").cert, ca.issue("a").key),
        "TLS_KEY ({key}) can't be used: it is not the key of the certificate in TLS_CERT. Expected the private key of "
        "TLS_CERT in PEM",
        "for example TLS_KEY=/etc/config-service/tls/tls.key",
    ),
    "expired": (
        lambda ca: _pair(ca.issue("a", expired=True)),
        "TLS_CERT ({cert}) can't be used: it expired at ",
        "Expected a certificate in PEM that is valid now and is for servers, for example TLS_CERT=",
    ),
    "early": (
        lambda ca: _pair(ca.issue("a", early=True)),
        "TLS_CERT ({cert}) can't be used: it is not valid before ",
        "",
    ),
    "for clients": (
        lambda ca: _pair(ca.issue_for_clients("a")),
        "TLS_CERT ({cert}) can't be used: it is not for servers",
        "",
    ),
    "a key for a certificate": (
        lambda ca: (ca.issue("a").key, ca.issue("a").key),
        "TLS_CERT ({cert}) can't be used: it holds a private key, and no certificate",
        "",
    ),
    "no certificate inside": (
        lambda ca: (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ca.issue("a").key),
        "TLS_CERT ({cert}) can't be used: what stands between BEGIN CERTIFICATE and END CERTIFICATE is no certificate",
        "",
    ),
    "a password": (
        lambda ca: (ca.issue("a").cert, _encrypted(ca.issue("a").key)),
        "TLS_KEY ({key}) can't be used: it is encrypted with a password",
        "",
    ),
    "no key inside": (
        lambda ca: (ca.issue("a").cert, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        "TLS_KEY ({key}) can't be used: it is no private key that can be read",
        "",
    ),
    "an unusual curve": (
        lambda ca: _pair(ca.issue_with("p521", "a")),
        "TLS_KEY ({key}) can't be used: it is on the curve secp521r1",
        "RSA of 2048 bits or more, P-256, P-384 or Ed25519",
    ),
    "a weak key": (lambda _: _weak(), "TLS_KEY ({key}) can't be used: it has 1024 bits", ""),
}


def _weak() -> tuple[bytes, bytes]:
    return _pair(Authority().issue_with("rsa1024", "a"))


def _encrypted(key: bytes) -> bytes:
    return load_pem_private_key(key, None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )


def _pair(pair: Pair) -> tuple[bytes, bytes]:
    return pair.cert, pair.key


@pytest.mark.parametrize(("make", "told", "example"), CASES.values(), ids=CASES.keys())
def test_a_start_with_what_can_not_be_shown_says_what_is_wrong(
    tmp_path: Path, make: Callable[[Authority], tuple[bytes, bytes]], told: str, example: str
) -> None:
    """As text in the environment, too, where no file can be named."""
    cert, key = make(Authority())
    files = {"cert": tmp_path / "my.crt", "key": tmp_path / "my.key"}
    files["cert"].write_bytes(cert)
    files["key"].write_bytes(key)
    said = refused(tmp_path, TLS_CERT=str(files["cert"]), TLS_KEY=str(files["key"]))
    assert said.startswith(f"config-service: {told.format(**files)}"), said
    assert example in said
    said = refused(tmp_path, TLS_CERT=cert.decode(), TLS_KEY=key.decode())
    assert told.replace(" ({cert})", "").replace(" ({key})", "") in said, said


def test_settings_that_belong_together_are_asked_for_together(https: Https, tmp_path: Path) -> None:
    there = https.settings()
    ca, cert, key = ({name: there[name]} for name in ("TLS_CA", "TLS_CERT", "TLS_KEY"))
    assert "TLS_CERT is set, and TLS_KEY is not; expected both, for HTTPS, or neither" in refused(tmp_path, **cert)
    assert "TLS_KEY is set, and TLS_CERT is not" in refused(tmp_path, **key)
    alone = refused(tmp_path, TLS_CLIENT_CA=ca["TLS_CA"])
    assert "TLS_CLIENT_CA is set, and TLS_CERT is not, so that no client would be asked" in alone
    plain = refused(tmp_path, **there, ADVERTISE_ADDRESS="http://10.0.0.7")
    assert "ADVERTISE_ADDRESS begins with http://, and TLS_CERT is set" in plain
    missing = refused(tmp_path, **{**there, "TLS_KEY": str(tmp_path / "none")})
    assert "TLS_KEY is set to something not shown here (it is not PEM text, and as a file it can't be read" in missing
    assert "did you mean TLS_CLIENT_CA?" in refused(tmp_path, **there, TLS_CLIENT_AUTH="require")


def test_authorities_that_vouch_for_nobody_any_more_are_refused(https: Https, tmp_path: Path) -> None:
    old = tmp_path / "old.pem"
    old.write_bytes(Authority().issue("ca", expired=True).cert)
    for name in ("TLS_CLIENT_CA", "TLS_CA"):
        said = refused(tmp_path, **{**https.settings(), name: str(old)})
        assert said.startswith(f"config-service: {name} ({old}) can't be used: all certificates in it have expired")


def test_what_the_server_does_not_take_is_found_out_by_a_process_of_its_own() -> None:
    """Of the service it would be the end: with a key that it can't read, the server aborts its process."""
    authority = Authority()
    pair = authority.issue_with("p521", "a")
    with pytest.raises(StartupError, match=r"the server does not take them: General.*failed to parse private key"):
        trial.check(Material(pair.cert, pair.key, None, None, 0.0, ()))
    broken = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    pair = authority.issue("a")
    with pytest.raises(StartupError, match="the server does not take them"):
        trial.check(Material(pair.cert, pair.key, broken, None, 0.0, ()))
    trial.check(Material(pair.cert, pair.key, authority.pem, None, 0.0, ()))


def test_certificate_and_key_may_be_text(start: Callable[..., InstanceProcess], https: Https) -> None:
    """Then there is nothing to read again, and SIGHUP is a closed terminal."""
    texts = {name: Path(file).read_text() for name, file in https.settings().items() if name != "TLS_CA"}
    instance = start(**texts)
    instance.verify = str(https.directory / "ca.crt")
    instance.wait_until_ready()
    assert "TLS_KEY" not in Path(f"/proc/{instance.pid}/cmdline").read_text()
    instance.process.send_signal(signal.SIGHUP)
    assert instance.wait() == 0


def test_every_kind_of_key_that_is_taken_is_served(start: Callable[..., InstanceProcess], https: Https) -> None:
    for kind in ("rsa", "p256", "p384", "ed25519"):
        pair = https.authority.issue_with(kind, *LOCAL)
        https.mount(pair)
        instance = start(**https.settings())
        instance.wait_until_ready()
        assert https.shown(instance.port) == serial(pair)
        assert instance.stop() in (0, 130)
