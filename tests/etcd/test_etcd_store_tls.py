"""The store over an etcd with TLS: what fits works, and each thing that does not fit is told apart in the message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consistency.core.store import BadCredentials, Unavailable, Want
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.etcd.conftest import version
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.driver import run
from tests.support.etcd import EtcdServer

TIMEOUT = 3.0
OURS = Authority()
THEIRS = Authority()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that shows a certificate of OURS and asks for none."""
    yield from serving(tmp_path_factory.mktemp("tls"), OURS.issue("127.0.0.1"))


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that demands a client certificate of OURS as well."""
    yield from serving(tmp_path_factory.mktemp("mutual"), OURS.issue("127.0.0.1"), OURS)


def serving(directory: Path, pair: Pair, client_ca: Authority | None = None) -> Iterator[EtcdServer]:
    with EtcdServer(directory, tls=TlsFiles.write(directory / "tls", pair, client_ca)) as server:
        yield server


def outcome(endpoint: str, ca: Authority | None = OURS, client: Pair | None = None) -> str:
    """Writes and reads; "ok", or the error."""
    pair = client or Pair(b"", b"")
    config = EtcdConfig(
        (endpoint,), "tls", ca_cert=ca.pem if ca else None, cert=pair.cert or None, key=pair.key or None
    )
    store = EtcdStore(config)
    try:
        run(store.commit([], version(), timeout=TIMEOUT))
        return "ok" if run(store.read([Want("a")], None, timeout=TIMEOUT)).version.count else "not written"
    except Unavailable as error:
        return f"{type(error).__name__}: {error}"
    finally:
        run(store.close())


def test_a_matching_certificate_is_accepted(secure: EtcdServer) -> None:
    """Point 2: TLS."""
    assert outcome(secure.endpoint) == "ok"


@pytest.mark.fault("wrong CA, wrong name, expired certificate")
@pytest.mark.parametrize("ca", [THEIRS, None], ids=["another authority", "public authorities"])
def test_a_certificate_of_an_authority_not_trusted_is_told(secure: EtcdServer, ca: Authority | None) -> None:
    """Fault matrix: wrong CA."""
    found = outcome(secure.endpoint, ca)
    assert found.startswith("BadCredentials")
    assert f"{secure.endpoint}: its TLS certificate is signed by none of the authorities trusted" in found


@pytest.mark.fault("wrong CA, wrong name, expired certificate")
def test_a_certificate_for_another_name_is_told(tmp_path: Path) -> None:
    """Fault matrix: wrong name."""
    for server in serving(tmp_path, OURS.issue("etcd.example.org")):
        found = outcome(server.endpoint)
        assert found.startswith("BadCredentials")
        assert f"{server.endpoint}: its TLS certificate is for another name" in found


@pytest.mark.fault("wrong CA, wrong name, expired certificate")
def test_an_expired_certificate_is_told(tmp_path: Path) -> None:
    """Fault matrix: expired certificate."""
    for server in serving(tmp_path, OURS.issue("127.0.0.1", expired=True)):
        found = outcome(server.endpoint)
        assert found.startswith("BadCredentials")
        assert f"{server.endpoint}: its TLS certificate has expired" in found


def test_the_right_client_certificate_is_accepted(mutual: EtcdServer) -> None:
    """Point 2: client certificate."""
    assert outcome(mutual.endpoint, client=OURS.issue("client")) == "ok"


@pytest.mark.fault("wrong CA, wrong name, expired certificate")
@pytest.mark.parametrize("client", [None, THEIRS.issue("client"), OURS.issue("client", expired=True)],
                         ids=["missing", "of another authority", "expired"])  # fmt: skip
def test_a_wrong_client_certificate_is_told(mutual: EtcdServer, client: Pair | None) -> None:
    """Point 2: a certificate that does not match, ours this time."""
    found = outcome(mutual.endpoint, client=client)
    assert found.startswith("BadCredentials")
    assert f"{mutual.endpoint}: it refused our TLS client certificate, or demands one" in found


def test_http_to_an_etcd_with_tls_is_told(secure: EtcdServer) -> None:
    """The commonest slip of all gets a hint."""
    plain = secure.endpoint.replace("https", "http")
    assert f"{plain}: it closed the connection at once: does it expect https?" in outcome(plain)


def test_https_to_an_etcd_without_tls_is_told(etcd: EtcdServer) -> None:
    """And the other way round."""
    secure = etcd.endpoint.replace("http", "https")
    assert f"{secure}: it closed the connection in the TLS handshake: does it expect http?" in outcome(secure)


def test_one_bad_certificate_among_several_endpoints_stops_nobody(secure: EtcdServer, tmp_path: Path) -> None:
    """Reads and writes go on through the others."""
    for other in serving(tmp_path, THEIRS.issue("127.0.0.1")):
        store = EtcdStore(EtcdConfig((other.endpoint, secure.endpoint), "tls", ca_cert=OURS.pem))
        run(store.commit([], version(), timeout=TIMEOUT))
        assert run(store.read([], None, timeout=TIMEOUT)).version.count
        run(store.close())


def test_bad_credentials_are_a_kind_of_unavailable() -> None:
    """Errors answer "did it happen?": it did not."""
    assert issubclass(BadCredentials, Unavailable)
