"""How the settings that are not plain numbers are read from their text. Refuses with a ValueError for operators.

Reads the certificate files that a setting names; does no other I/O. No message repeats what was given.
"""

from __future__ import annotations

import codecs
import contextlib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.auth import token_lists
from service.auth.tokens import Token
from service.http import hosts
from service.settings import small_files
from service.settings.descriptions import describe
from service.settings.operator_json import json_value
from service.settings.small_files import Unreadable

# Nothing else may stand in an address: what gets past here is shown when it is connected to.
_NAME = r"[\w.-]+"
_IPV6 = r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?"
_ADDRESS = re.compile(rf"(?P<host>{_NAME}|\[{_IPV6}\])(?::(?P<port>[0-9]{{1,9}}))?")

MOST_WORKERS = 32
"""Half of the slots: so a machine can be replaced by another one like it."""

SCHEMES = ("http", "https")

_INSIDE = re.compile("[^/].*/(config|members)(?:/|$)")
"""A prefix among what another fleet keeps: its keys would be listed and counted there, and deleted as documents."""


def endpoints(text: str, *, bare_scheme: str) -> tuple[str, ...]:
    """`"a:2379, https://b:2379"` as normalised URLs; a bare `host:port` gets `bare_scheme`. Raises ValueError."""
    # Before it is taken apart: a password may hold a comma, and its second half looks like an endpoint.
    if "@" in text:
        raise ValueError("an endpoint carries a user name; those belong in ETCD_USER and ETCD_PASSWORD")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError("it names no endpoint")
    return tuple(dict.fromkeys(_endpoint(part, f"endpoint {n}", bare_scheme) for n, part in enumerate(parts, 1)))


def _endpoint(text: str, which: str, bare_scheme: str) -> str:
    scheme, separator, rest = text.rpartition("://")
    if not separator:
        scheme = bare_scheme
    if scheme.lower() not in ("http", "https"):
        raise ValueError(f"{which} has a scheme that is neither http nor https")
    found = _ADDRESS.fullmatch(rest.removesuffix("/"))
    if not found:
        raise ValueError(f"{which} is not an address")
    if not found["port"]:
        raise ValueError(f"{which} has no port")
    if not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"{which} has a port that is not from 1 to 65535")
    return f"{scheme.lower()}://{found['host'].lower()}:{int(found['port'])}"


def host(text: str) -> str:
    """A host name or an IP address, the latter with or without brackets. Raises ValueError."""
    if not re.fullmatch(rf"{_NAME}|{_IPV6}|\[{_IPV6}\]", text):
        raise ValueError("it is no host name and no IP address")
    return text


def pem(given: str | bytes) -> bytes:
    """PEM text as it is, or the contents of the file of that name. Raises ValueError.

    Platforms that can't carry line breaks in a variable write them as backslash and n; those are turned back.
    """
    text = given.decode("ascii") if isinstance(given, bytes) else given.removeprefix("\ufeff")
    if "-----BEGIN " in text:
        return text.replace("\\n", "\n").encode()
    try:
        return pem_in(Path(text))
    except Unreadable as error:
        raise ValueError(f"it is not PEM text, and as a file {error}") from None


def pem_in(file: Path) -> bytes:
    """The contents of a PEM file. Raises Unreadable, and ValueError for what is no PEM."""
    found = small_files.read(file)
    if b"-----BEGIN " not in found:
        raise ValueError("the file is not PEM: there is no '-----BEGIN ' in it")
    return found.removeprefix(codecs.BOM_UTF8)  # some editors put it there, and then TLS libraries see nothing


def json_object(given: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON object. Raises ValueError, saying where it breaks but not what stands there."""
    if isinstance(given, Mapping):
        return given
    loaded = json_value(given)
    if not isinstance(loaded, dict):
        raise ValueError(f"it is JSON, but {describe(loaded)} and not an object")
    return loaded


def tokens(given: str | tuple[Token, ...]) -> tuple[Token, ...]:
    """Tokens, from a JSON list. Raises ValueError, saying which is wrong and how, but not what stands there."""
    return token_lists.from_json(given) if isinstance(given, str) else given


def host_names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """`"a.example, b"`, in small letters. Raises ValueError."""
    parts = given.split(",") if isinstance(given, str) else given
    names = [part.strip().lower() for part in parts if part.strip()]
    for number, name in enumerate(names, 1):
        authority = hosts.parse(name)
        if name != hosts.ANY and (authority is None or authority.port or name != authority.name):
            raise ValueError(f"name {number} is not a host name by itself")
    if not names:
        raise ValueError("it names no host")
    return tuple(dict.fromkeys(names))


def advertised(text: str) -> str:
    """A host or `host:port`, in small letters, at which others can be told to come, perhaps behind `http://` or
    `https://`; IPv6 with brackets or without. Raises ValueError.
    """
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme.lower() not in SCHEMES:
        raise ValueError("it has a scheme that is neither http nor https")
    found = _reachable(rest.removesuffix("/") if separator else rest)
    return f"{scheme.lower()}{separator}{found}"


def _reachable(text: str) -> str:
    with contextlib.suppress(ValueError):
        text = f"[{ipaddress.IPv6Address(text)}]"
    found = hosts.parse(text)
    if found is None or (not found.port and ":" in text.rpartition("]")[2]):
        raise ValueError("it is no host name and no IP address, with or without a port")
    address = hosts.address_in(found.name)
    if address is not None and address.is_unspecified:
        raise ValueError("it stands for every address of a machine, and others can't come to that")
    return f"{found.name}:{found.port}" if found.port else found.name


def workers(given: object) -> object:
    """A number of workers, or 0 for `auto`; what is no number is left for others to refuse. Raises ValueError."""
    text = str(given).strip().lower()
    if text == "auto":
        return 0
    try:
        number = int(text)
    except ValueError:
        return given
    if not 1 <= number <= MOST_WORKERS:
        raise ValueError("that is out of bounds")
    return number


def certificate_name(text: str) -> str:
    """A host name that a certificate may be for, in small letters. Raises ValueError."""
    found = hosts.parse(text)
    if found is None or found.name != text.lower() or found.port or hosts.address_in(found.name) is not None:
        raise ValueError("it is no host name by itself")
    return found.name


def key_prefix(text: str) -> str:
    """Where in etcd everything is kept, without a slash at the end. Raises ValueError."""
    prefix = text.rstrip("/")
    if not prefix:
        raise ValueError("it is empty, and the service would spread over all of etcd")
    if not prefix.isprintable() or " " in prefix:
        raise ValueError("it contains spaces or control characters")
    if len(prefix.encode()) > 256:
        raise ValueError("it is longer than 256 bytes")
    if inside := _INSIDE.search(prefix):
        raise ValueError(f"its part /{inside[1]} is where the fleet whose prefix is what stands before keeps its own")
    return prefix
