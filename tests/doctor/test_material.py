"""Certificates and keys that don't fit, ours and etcd's: one piece of advice each, and the right one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from service.doctor import Report, examine
from tests.support.certificates import Authority, Pair, TlsFiles
from tests.support.etcd import EtcdServer

OURS = Authority()
THEIRS = Authority()
CLIENT = OURS.issue("client")
JUNK = b"-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd that shows a certificate and demands one."""
    directory = tmp_path_factory.mktemp("mutual")
    with EtcdServer(directory, tls=TlsFiles.write(directory / "tls", OURS.issue("127.0.0.1"), OURS)) as server:
        yield server


@dataclass(frozen=True)
class Given:
    """What is put into the files. None: the setting is not made."""

    ca: bytes | None = OURS.pem
    cert: bytes | None = CLIENT.cert
    key: bytes | None = CLIENT.key


def encrypted(key: bytes) -> bytes:
    loaded = load_pem_private_key(key, password=None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


def pair(made: Pair) -> Given:
    return Given(cert=made.cert, key=made.key)


NO_CERTIFICATE = "it holds a private key, and no certificate"

CASES: dict[str, tuple[Callable[[], Given], str, str]] = {
    "authority: a key": (lambda: Given(ca=CLIENT.key), NO_CERTIFICATE, "Give ETCD_CA_CERT"),
    "authority: junk": (lambda: Given(ca=JUNK), "is no certificate", "Give ETCD_CA_CERT"),
    "authority: empty": (lambda: Given(ca=b""), "the file is not PEM", "expected the path of a PEM file"),
    "authority: did not sign": (lambda: Given(ca=THEIRS.pem), "none of the authorities trusted", "Give ETCD_CA_CERT"),
    "certificate: no key": (lambda: Given(key=None), "ETCD_CERT and ETCD_KEY belong together", "set both, or neither"),
    "certificate: a key": (lambda: Given(cert=CLIENT.key), NO_CERTIFICATE, "Give ETCD_CERT"),
    "certificate: early": (
        lambda: pair(OURS.issue("c", early=True)),
        "(ETCD_CERT): not valid before",
        "clock, or wait",
    ),
    "certificate: expired": (
        lambda: pair(OURS.issue("c", expired=True)),
        "(ETCD_CERT): expired at",
        "Renew the client",
    ),
    "certificate: for servers": (lambda: pair(OURS.issue_for_servers("c")), "it is not for clients", "with clientAuth"),
    "certificate: another authority's": (lambda: pair(THEIRS.issue("c")), "it refused our TLS client", "Set ETCD_CERT"),
    "key: a certificate": (lambda: Given(key=CLIENT.cert), "it is no private key", "Give ETCD_CERT"),
    "key: encrypted": (lambda: Given(key=encrypted(CLIENT.key)), "encrypted with a password", "Take the password off"),
    "key: another's": (lambda: Given(key=OURS.issue("b").key), "does not belong to the client", "Give ETCD_CERT"),
}


def examined(directory: Path, given: Given, endpoint: str) -> Report:
    """With these files, in an empty directory."""
    settings = {"ETCD_ENDPOINTS": endpoint, "HOST": "127.0.0.1"}
    for name, content in (("ETCD_CA_CERT", given.ca), ("ETCD_CERT", given.cert), ("ETCD_KEY", given.key)):
        if content is not None:
            (directory / name).write_bytes(content)
            settings[name] = str(directory / name)
    return examine(settings, directory / "instance")


def is_told(report: Report, said: str, advice: str) -> None:
    """Once, with nothing else advised; in text as in JSON, and by the exit code."""
    found = json.loads(report.json())
    bad = [each for each in found["findings"] if each["level"] == "wrong"]
    assert any(said in f"{each['found']} {each['remedy']}" for each in bad), found
    assert len({each["remedy"] for each in bad}) == 1, bad
    assert advice in bad[0]["remedy"]
    steps = [line for line in report.text().partition("What to do:")[2].splitlines() if line.strip()]
    assert [line.split(". ")[0].strip() for line in steps if line.lstrip()[0].isdigit()] == ["1"], steps
    assert (report.exit_code, found["healthy"]) == (1, False)


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_of_ours_is_told_with_one_piece_of_advice(
    tmp_path: Path, mutual: EtcdServer, case: str
) -> None:
    given, said, advice = CASES[case]
    is_told(examined(tmp_path, given(), mutual.endpoint), said, advice)


def test_an_authority_that_is_a_directory_is_told(tmp_path: Path, mutual: EtcdServer) -> None:
    report = examine({"ETCD_ENDPOINTS": mutual.endpoint, "ETCD_CA_CERT": str(tmp_path)}, tmp_path)
    is_told(report, "Is a directory", "expected the path of a PEM file")


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path, mutual: EtcdServer) -> None:
    """Windows' editors put one there; TLS libraries then see no certificate."""
    mark = b"\xef\xbb\xbf"
    found = examined(tmp_path, Given(mark + OURS.pem, mark + CLIENT.cert, mark + CLIENT.key), mutual.endpoint)
    assert found.healthy, found.text()


SERVERS: dict[str, tuple[Callable[[], Pair], str, str]] = {
    "no subjectAltName": (
        lambda: OURS.issue_unnamed("127.0.0.1"),
        "subjectAltName names nobody",
        "Issue a certificate",
    ),
    "another name": (lambda: OURS.issue("etcd.example.org"), "for another name", "Issue a certificate"),
    "expired": (lambda: OURS.issue("127.0.0.1", expired=True), "has expired", "Renew the certificate of"),
    "not valid yet": (lambda: OURS.issue("127.0.0.1", early=True), "is not valid yet", "Set the clocks"),
}


@pytest.mark.parametrize("case", SERVERS)
def test_what_does_not_fit_of_etcds_is_told_with_one_piece_of_advice(tmp_path: Path, case: str) -> None:
    made, said, advice = SERVERS[case]
    with EtcdServer(tmp_path / "etcd", tls=TlsFiles.write(tmp_path / "tls", made())) as server:
        is_told(examined(tmp_path, Given(cert=None, key=None), server.endpoint), said, advice)


def test_what_fits_is_well(tmp_path: Path, mutual: EtcdServer) -> None:
    assert examined(tmp_path, Given(), mutual.endpoint).healthy
