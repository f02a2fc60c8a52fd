"""Certificates for tests: an authority, and what it signs, as PEM bytes and files.

Owns key pairs that live as long as the test's directory. Nothing here is fit for production.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme


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

    def issue(self, *names: str, expired: bool = False) -> Pair:
        """A certificate for these host names or addresses, for server or client; `expired` yesterday if asked."""
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        issued = self._ca.issue_cert(
            *names, not_before=yesterday - datetime.timedelta(days=1), not_after=yesterday if expired else None
        )
        return Pair(b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes())


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
