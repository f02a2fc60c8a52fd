"""Certificates for tests: an authority, and what it signs, as PEM bytes and files.

Owns key pairs that live as long as the test's directory. Nothing here is fit for production.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import ExtendedKeyUsage, SubjectAlternativeName
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

KEYS: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    "rsa": lambda: rsa.generate_private_key(65_537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65_537, 1024),
    "p256": lambda: generate_private_key(SECP256R1()),
    "p384": lambda: generate_private_key(SECP384R1()),
    "p521": lambda: generate_private_key(SECP521R1()),
    "ed25519": Ed25519PrivateKey.generate,
}


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    cert: bytes
    key: bytes


class Authority:
    """A certificate authority of its own: what one of these signed, another does not trust."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return self._ca.cert_pem.bytes()

    def issue(self, *names: str, expired: bool = False, early: bool = False, days: int | None = None) -> Pair:
        """A certificate for these host names or addresses, for server or client.

        `expired` yesterday if asked, or valid from tomorrow on if it comes `early`; for so many `days`.
        """
        day = datetime.timedelta(days=1)
        today = datetime.datetime.now(datetime.UTC)
        end = today - day if expired else today + days * day if days else None
        issued = self._ca.issue_cert(*names, not_before=today + day if early else today - 2 * day, not_after=end)
        return Pair(b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes())

    def issue_for_servers(self, name: str) -> Pair:
        """A certificate that is for servers alone."""
        return self._issue(name, ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))

    def issue_for_clients(self, name: str) -> Pair:
        """A certificate that is for clients alone."""
        return self._issue(name, ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))

    def issue_with(self, kind: str, *names: str) -> Pair:
        """A certificate for these host names and addresses, with a key of one of KEYS."""
        return self._issue(names[0], SubjectAlternativeName([_general(name) for name in names]), KEYS[kind]())

    def issue_unnamed(self, name: str) -> Pair:
        """A certificate with a common name and no subjectAltName."""
        return self._issue(name)

    def _issue(
        self,
        name: str,
        extension: x509.ExtensionType | None = None,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> Pair:
        signer = load_pem_private_key(self._ca.private_key_pem.bytes(), password=None)
        assert isinstance(signer, EllipticCurvePrivateKey)
        issuer = x509.load_pem_x509_certificate(self.pem)
        day = datetime.timedelta(days=1)
        today = datetime.datetime.now(datetime.UTC)
        key = key or generate_private_key(SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(today - day)
            .not_valid_after(today + 30 * day)
        )
        if extension:
            builder = builder.add_extension(extension, critical=False)
        cert = builder.sign(signer, SHA256())
        return Pair(
            cert.public_bytes(Encoding.PEM), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What an etcd server is started with: its own pair, and the authority that it trusts for clients, if it asks."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def write(cls, directory: Path, pair: Pair, client_ca: Authority | None = None) -> TlsFiles:
        """Puts the PEM files into `directory`. With `client_ca` the server demands a client certificate of that CA."""
        directory.mkdir(parents=True, exist_ok=True)
        cert, key, ca = directory / "server.pem", directory / "server.key", directory / "client-ca.pem"
        cert.write_bytes(pair.cert)
        key.write_bytes(pair.key)
        if client_ca:
            ca.write_bytes(client_ca.pem)
        return cls(cert, key, ca if client_ca else None)
