"""The files that an instance speaks HTTPS with, and what clients see of them."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tests.support.certificates import Authority, Pair

LOCAL = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Https:
    """A directory as Kubernetes mounts a secret: its files lead through the link `..data`, which is exchanged."""

    directory: Path
    authority: Authority

    @classmethod
    def made(cls, directory: Path, *names: str) -> Https:
        """With a certificate for these names, else for this machine."""
        directory.mkdir(parents=True)
        made = cls(directory, Authority())
        made.mount(made.authority.issue(*(names or LOCAL)))
        for name in ("tls.crt", "tls.key", "ca.crt"):
            (directory / name).symlink_to(Path("..data") / name)
        return made

    def settings(self) -> dict[str, str]:
        """Of the service."""
        return {
            "TLS_CERT": str(self.directory / "tls.crt"),
            "TLS_KEY": str(self.directory / "tls.key"),
            "TLS_CA": str(self.directory / "ca.crt"),
        }

    def mount(self, pair: Pair) -> None:
        """Exchange all at once, as kubelet does; what was there before goes."""
        link = self.directory / "..data"
        before = link.resolve() if link.is_symlink() else None
        there = self.directory / f"..{os.urandom(4).hex()}"
        there.mkdir()
        (there / "tls.crt").write_bytes(pair.cert)
        (there / "tls.key").write_bytes(pair.key)
        (there / "ca.crt").write_bytes(self.authority.pem)
        (self.directory / "..next").symlink_to(there.name)
        (self.directory / "..next").rename(link)
        if before:
            shutil.rmtree(before)

    def renew(self, *names: str) -> Pair:
        """Mount another certificate of the same authority."""
        pair = self.authority.issue(*(names or LOCAL))
        self.mount(pair)
        return pair

    def mounted(self) -> int:
        """The serial number of the certificate that is there now."""
        return x509.load_pem_x509_certificate((self.directory / "tls.crt").read_bytes()).serial_number

    def context(self, *alpn: str) -> ssl.SSLContext:
        """Of a client that trusts the authority."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def connect(self, port: int, *alpn: str) -> ssl.SSLSocket:
        """As a client of this machine."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        return self.context(*alpn).wrap_socket(plain, server_hostname="localhost")

    def shown(self, port: int) -> int:
        """The serial number of the certificate that new clients are shown."""
        with self.connect(port) as client:
            found = client.getpeercert(binary_form=True)
            assert found
            return x509.load_der_x509_certificate(found).serial_number


def serial(pair: Pair) -> int:
    """Of a certificate."""
    return x509.load_pem_x509_certificate(pair.cert).serial_number
