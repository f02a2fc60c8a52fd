"""Credentials for etcd as platforms hand them over: the shapes of `VCAP_SERVICES` and `instance/etcd.config.json`.

Reads values, no files and no environment. No message repeats a user name, a password or a certificate.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from service import setting_values

EXAMPLE = (
    '{"connection": {"grpc": {"hosts": [{"hostname": "etcd.example.com", "port": 2379}], '
    '"authentication": {"username": "...", "password": "..."}, "certificate": {"certificate_base64": "..."}}}}'
)
SHOWN = ("hostname", "port")
"""Fields whose value may stand in a message."""


class CredentialsError(Exception):
    """These credentials can't be used. The message tells the field, what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to reach an etcd and who we are there. `endpoints` are URLs; a CA certificate means https."""

    endpoints: tuple[str, ...]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca_cert: bytes | None = field(default=None, repr=False)


def _certificate(given: object) -> bytes:
    """PEM, or base64 of PEM."""
    if not isinstance(given, str | bytes):
        raise ValueError("it should be a text")
    raw = given.encode() if isinstance(given, str) else given
    if b"-----BEGIN " not in raw:
        try:
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        except binascii.Error:
            raise ValueError("it should be base64") from None
    if b"-----BEGIN CERTIFICATE-----" not in raw:
        raise ValueError("it should hold a certificate in PEM, with '-----BEGIN CERTIFICATE-----'")
    return raw.replace(b"\\n", b"\n")


Certificate = Annotated[bytes, BeforeValidator(_certificate)]


class _Host(BaseModel):
    hostname: str = Field(min_length=1, pattern=r"^[^\s/@]+$")
    port: int = Field(ge=1, le=65535)


class _Authentication(BaseModel):
    username: str = Field(min_length=1)
    password: SecretStr


class _Certificate(BaseModel):
    certificate_base64: Certificate


class _Grpc(BaseModel):
    hosts: list[_Host] = Field(min_length=1)
    authentication: _Authentication | None = None
    certificate: _Certificate | None = None


class _Connection(BaseModel):
    grpc: _Grpc


class _Document(BaseModel):
    connection: _Connection


class _Flat(BaseModel):
    """What user-provided services often look like. `uri` may carry the user and the password."""

    hosts: str | list[str] | None = None
    uri: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    certificate: Certificate | None = None


def read(found: Mapping[str, Any]) -> Credentials:
    """Credentials in either shape. Raises CredentialsError."""
    try:
        if "connection" in found or not {"hosts", "uri"} & found.keys():
            return _from_grpc(_Document.model_validate(found).connection.grpc)
        return _from_flat(_Flat.model_validate(found))
    except ValidationError as error:
        raise CredentialsError("; ".join(map(_explain, error.errors(include_url=False)))) from None
    except ValueError as error:
        raise CredentialsError(str(error)) from None


def _from_grpc(grpc: _Grpc) -> Credentials:
    scheme = "https" if grpc.certificate else "http"
    who = grpc.authentication
    return Credentials(
        endpoints=tuple(f"{scheme}://{_bracketed(host.hostname)}:{host.port}" for host in grpc.hosts),
        user=who.username if who else None,
        password=who.password.get_secret_value() if who else None,
        ca_cert=grpc.certificate.certificate_base64 if grpc.certificate else None,
    )


def _bracketed(hostname: str) -> str:
    return f"[{hostname}]" if ":" in hostname and not hostname.startswith("[") else hostname


def _from_flat(flat: _Flat) -> Credentials:
    found = [_without_user(address) for address in _listed(flat.hosts or flat.uri or "")]
    user = flat.username or next((user for _, user, _ in found if user), None)
    given = flat.password.get_secret_value() if flat.password else None
    password = given or next((password for _, _, password in found if password), None)
    if (user is None) != (password is None):
        raise ValueError("username and password belong together: expected both, or neither")
    addresses = [address for address, _, _ in found]
    secure = flat.certificate or any(address.startswith("https://") for address in addresses[:1])
    # `https://a:1,b:2` means https for both.
    endpoints = setting_values.endpoints(",".join(addresses), bare_scheme="https" if secure else "http")
    if flat.certificate and any(endpoint.startswith("http://") for endpoint in endpoints):
        raise ValueError("a certificate is given, but an address begins with http://; expected https://")
    return Credentials(endpoints, user, password, flat.certificate)


def _listed(given: str | list[str]) -> list[str]:
    parts = given.split(",") if isinstance(given, str) else given
    return [part.strip() for part in parts if part.strip()]


def _without_user(address: str) -> tuple[str, str | None, str | None]:
    """An address without the `user:password@` it may carry, and these two."""
    if "@" not in address:
        return address, None, None
    scheme, separator, rest = address.rpartition("://")
    # By hand, since the complaints of urllib repeat what they complain about.
    who, _, bare = rest.rpartition("@")
    user, _, password = who.partition(":")
    return f"{scheme}{separator}{bare}", unquote(user) or None, unquote(password) or None


def _explain(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{place} is missing"
    expected = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    found = error["input"]
    shown = repr(found)[:80] if error["loc"] and error["loc"][-1] in SHOWN else f"something ({type(found).__name__})"
    return f"{place} is {shown}, but {expected[:1].lower()}{expected[1:]}"
