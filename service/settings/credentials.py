"""Credentials for etcd as platforms hand them over: the shapes of `VCAP_SERVICES` and `instance/etcd.config.json`.

Reads values, no files and no environment. No message repeats what was given, but for a port that is a number.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from service.settings import values as setting_values
from service.settings.descriptions import describe
from service.settings.names import bare, nearest

EXAMPLE = (
    '{"connection": {"grpc": {"hosts": [{"hostname": "etcd.example.com", "port": 2379}], '
    '"authentication": {"username": "...", "password": "..."}, "certificate": {"certificate_base64": "..."}}}}'
)

# What else they are called, without what writers vary.
_ALIASES = {
    "username": ("USER", "LOGIN"),
    "password": ("PASS", "PASSWD", "PWD", "SECRET"),
    "certificate": ("CERT", "CA", "CACERT", "CACERTIFICATE", "CABASE64", "CERTIFICATEBASE64", "TLS", "SSL"),
    "authentication": ("AUTH",),
}

# One address of several that each carry the user: nothing in it can be taken for the end of another's password.
_ONE_OF_SEVERAL = re.compile(r"(?:https?://)?[^\s,/@:]+:[^\s,/@:]+@[^\s,/@]+/?")


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
    hostname: Annotated[str, AfterValidator(setting_values.host)]
    port: int = Field(ge=1, le=65535)


class _Authentication(BaseModel):
    username: str = Field(min_length=1)
    password: SecretStr = Field(min_length=1)


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
    username: str | None = Field(None, min_length=1)
    password: SecretStr | None = Field(None, min_length=1)
    certificate: Certificate | None = None


def read(found: Mapping[str, Any]) -> Credentials:
    """Credentials in either shape. Raises CredentialsError."""
    try:
        if "connection" in found or not {"hosts", "uri"} & found.keys():
            grpc = _Document.model_validate(found).connection.grpc
            _refuse_near_misses(
                found["connection"]["grpc"], authentication=grpc.authentication, certificate=grpc.certificate
            )
            return _from_grpc(grpc)
        return _from_flat(_Flat.model_validate(found), found)
    except ValidationError as error:
        raise CredentialsError("; ".join(map(_explain, error.errors(include_url=False)))) from None
    except ValueError as error:
        raise CredentialsError(str(error)) from None


def _refuse_near_misses(found: Mapping[str, Any], **guards: object) -> None:
    """What is not there may stand under a name that is nearly the right one: then no user is, or no encryption."""
    for guard, value in guards.items():
        names = (bare(guard), *_ALIASES[guard])
        given = (name for name, other in found.items() if other)
        if value is None and any(bare(name) in names or nearest(name, [guard]) for name in given):
            raise ValueError(f"it has no {guard}, but a member whose name is nearly that; expected {guard}")


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


def _from_flat(flat: _Flat, found: Mapping[str, Any]) -> Credentials:
    given = flat.hosts or flat.uri or ""
    addresses, user, password = _split(given) if isinstance(given, str) else _split_each(given)
    secure = _begin_with_https(addresses)
    if flat.hosts and flat.uri:  # then `hosts` says where, but who and how may stand in `uri` alone
        others, other_user, other_password = _split(flat.uri)
        user, password = user or other_user, password or other_password
        secure = secure or _begin_with_https(others)
    user = flat.username or user
    password = flat.password.get_secret_value() if flat.password else password
    _refuse_near_misses(found, username=user, password=password, certificate=flat.certificate)
    if (user is None) != (password is None):
        raise ValueError("username and password belong together: expected both, or neither")
    # `https://a:1,b:2` means https for both.
    bare_scheme = "https" if secure or flat.certificate else "http"
    endpoints = setting_values.endpoints(",".join(addresses), bare_scheme=bare_scheme)
    if flat.certificate and any(endpoint.startswith("http://") for endpoint in endpoints):
        raise ValueError("a certificate is given, but an address begins with http://; expected https://")
    return Credentials(endpoints, user, password, flat.certificate)


def _begin_with_https(addresses: list[str]) -> bool:
    return any(address.startswith("https://") for address in addresses[:1])


def _split(text: str) -> tuple[list[str], str | None, str | None]:
    """Addresses, user and password of `scheme://user:password@a:1,b:2`, or of `scheme://user:password@` before each.

    A comma may be part of the password. So the text is never taken apart at one before it is known where the user ends;
    where that can't be known it is refused, for what was taken for an address would be connected to, and shown.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if "@" not in text:
        return parts, None, None
    if len(parts) > 1 and all(_ONE_OF_SEVERAL.fullmatch(part) for part in parts):
        return _split_each(parts)
    scheme, separator, rest = text.strip().rpartition("://")
    who, _, hosts = rest.rpartition("@")
    if "," in who and ("@" in who or not separator):
        raise ValueError("it is not clear where the password ends; expected @ and , in it as %40 and %2C")
    user, _, password = (unquote(part) for part in who.partition(":"))
    if not user or not password:
        raise ValueError("there is an @, but no user and password before it; expected user:password@")
    first, *others = hosts.split(",")
    return [f"{scheme}{separator}{first}", *(each.strip() for each in others if each.strip())], user, password


def _split_each(given: list[str]) -> tuple[list[str], str | None, str | None]:
    """The same of addresses that are already apart. One user is for all."""
    found = [_split(address) for address in given]
    who = {(user, password) for _, user, password in found if user}
    if len(who) > 1:
        raise ValueError("the addresses carry different users or passwords; expected one for all")
    user, password = who.pop() if who else (None, None)
    return [address for addresses, _, _ in found for address in addresses], user, password


def _explain(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{place} is missing"
    expected = str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]
    found = error["input"]
    shown = str(found) if type(found) is int and error["loc"][-1] == "port" else describe(found)
    return f"{place} is {shown}, but {expected[:1].lower()}{expected[1:]}"
