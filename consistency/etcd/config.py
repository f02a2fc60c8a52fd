"""Where etcd is and how to be let in. Pure: importing this costs nothing and connects to nothing.

Owns the spelling of endpoints. Refuses, at once and by name, what could never work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

EXAMPLE = "http://127.0.0.1:2379"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One etcd server, as gRPC wants it: `target` is host:port."""

    url: str
    target: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Reads `http(s)://host:port`. Raises ValueError saying what was found and what was expected."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _port(url):
            raise ValueError(f"etcd endpoint {url!r}: expected http(s)://host:port, for example {EXAMPLE}")
        if parts.path.strip("/") or parts.query or parts.username:
            raise ValueError(f"etcd endpoint {_safe(url)!r}: expected nothing but host and port, for example {EXAMPLE}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        target = f"{host}:{parts.port}"
        return cls(f"{parts.scheme}://{target}", target, parts.scheme == "https")


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """How to reach one etcd cluster. Raises ValueError when the parts contradict each other.

    endpoints: URLs of its servers, such as "http://127.0.0.1:2379"; any one of them may be down.
    prefix: what every key starts with.
    user, password: for a cluster with authentication enabled.
    ca_cert: PEM of the authorities to trust for https endpoints; None = those gRPC brings along.
    cert, key: PEM of the client certificate and its private key.
    for_life: the cluster that answers first stays ours: another one at its place is a stranger, never ours made anew.
    member: the id of the only etcd there is, if it is known before the first answer; 0: it is not known.
    """

    endpoints: tuple[str, ...]
    prefix: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    for_life: bool = False
    member: int = 0

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError(f"no etcd endpoint given; expected at least one, for example {EXAMPLE}")
        if (self.user is None) != (self.password is None):
            raise ValueError("etcd user and password: one was given without the other; expected both or neither")
        if (self.cert is None) != (self.key is None):
            raise ValueError(
                "etcd client certificate and key: one was given without the other; expected both or neither"
            )
        self.servers()

    def servers(self) -> tuple[Endpoint, ...]:
        """The endpoints, parsed."""
        return tuple(Endpoint.parse(url) for url in self.endpoints)


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _safe(url: str) -> str:
    return url.replace(urlsplit(url).netloc.rpartition("@")[0], "…") if "@" in url else url
