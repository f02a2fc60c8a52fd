"""Whose certificate a client has shown: its names, in a form that can be compared. Pure.

Whole names are compared, each within its own kind, so that no name of one kind stands for one of another:

    dns:ci.example          DNS names of the subjectAltName, in small letters, since DNS knows no others
    uri:spiffe://example/ci URIs of the subjectAltName, as they are
    cn:ci                   the common name, as it is, of a certificate that has neither

RFC 9525 (6.3) has looked at no common name since 2023, but authorities that issue for clients alone still put the name
there, and there only. Where both are, the common name says nothing.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHOWN = "config_service.certificate"
"""In a request's scope and environment, where names in certificates give rights: the certificate of its connection;
None: it came over a connection that is no client's. No header can be named so."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The verified certificate of one connection. expires: Unix time."""

    names: tuple[str, ...]
    expires: float


def certificate_of(found: Mapping[str, Any]) -> ClientCertificate:
    """What `ssl.SSLSocket.getpeercert` says of one that was verified. Raises ValueError for one that says no end."""
    alternative = tuple(name for kind, value in found.get("subjectAltName", ()) if (name := _of_kind(kind, value)))
    common = tuple(
        f"cn:{value}" for part in found.get("subject", ()) for kind, value in part if kind == "commonName" and value
    )
    if "notAfter" not in found:
        raise ValueError("a certificate without an end")
    return ClientCertificate(alternative or common[-1:], float(ssl.cert_time_to_seconds(found["notAfter"])))


def names_for(given: str) -> tuple[str, ...]:
    """The names in certificates that an operator means by this one: a URI, if it has `://`, else one of DNS or a common
    name. None for an empty text."""
    if not given:
        return ()
    return (f"uri:{given}",) if "://" in given else (f"dns:{given.lower()}", f"cn:{given}")


def _of_kind(kind: str, value: str) -> str:
    match kind:
        case "DNS":
            return f"dns:{value.lower()}"
        case "URI":
            return f"uri:{value}"
        case _:
            return ""
