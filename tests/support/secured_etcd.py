"""An etcd as it is in production: mutual TLS, users with passwords, and for each prefix a role that may use it alone.

What a test reaches it with, it asks `config` or `settings` for; both make the user and the role that the prefix needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from consistency.etcd.config import EtcdConfig
from tests.support.certificates import Authority, TlsFiles
from tests.support.etcd import EtcdServer

_AUTHORITY = Authority()
_ROOT = "root:root-pw"
_PASSWORD = "correct-horse"
_CHEAP = "--bcrypt-cost=4"  # the least; tests make hundreds of users


class SecuredEtcd(EtcdServer):
    """One process, as `EtcdServer`; `etcdctl` acts as root. Started once: what it made at its start is in its data."""

    def __init__(self, directory: Path, *, arguments: Sequence[str] = (), **more: Any) -> None:
        self._client = _AUTHORITY.issue("client.example.com")
        tls = TlsFiles.write(directory / "tls", _AUTHORITY.issue("127.0.0.1"), _AUTHORITY)
        super().__init__(directory, tls=tls, arguments=[*arguments, _CHEAP], **more)
        self._admitted: set[str] = set()
        self._root = ""

    def start(self) -> Self:
        """Starts it, and turns authentication on."""
        super().start()
        self.etcdctl("user", "add", _ROOT)
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("auth", "enable")
        self._root = _ROOT
        return self

    def config(self, prefix: str) -> EtcdConfig:
        """As the user of this prefix."""
        return EtcdConfig(
            (self.endpoint,),
            prefix,
            user=self._admit(prefix),
            password=_PASSWORD,
            ca_cert=_AUTHORITY.pem,
            cert=self._client.cert,
            key=self._client.key,
        )

    def settings(self, prefix: str) -> dict[str, str]:
        """As the user of this prefix."""
        return {
            **super().settings(prefix),
            "ETCD_USER": self._admit(prefix),
            "ETCD_PASSWORD": _PASSWORD,
            "ETCD_CA_CERT": _AUTHORITY.pem.decode(),
            "ETCD_CERT": self._client.cert.decode(),
            "ETCD_KEY": self._client.key.decode(),
        }

    def etcdctl(self, *arguments: str, user: str = "", stdin: str = "") -> str:
        """As root, unless as `user`."""
        return super().etcdctl(*arguments, user=user or self._root, stdin=stdin)

    def _admit(self, prefix: str) -> str:
        """The user who may read and write what lies beneath the prefix, and nothing else."""
        name = prefix.strip("/").replace("/", "-")
        if name not in self._admitted:
            self._admitted.add(name)
            self.etcdctl("user", "add", f"{name}:{_PASSWORD}")
            self.etcdctl("role", "add", name)
            self.etcdctl("role", "grant-permission", "--prefix", name, "readwrite", f"{prefix.rstrip('/')}/")
            self.etcdctl("user", "grant-role", name, name)
        return name
