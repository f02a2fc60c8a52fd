"""How the settings that are not plain numbers are read from their text. Refuses with a ValueError for operators.

Reads the certificate files that a setting names; does no other I/O. No message repeats a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service import hosts, token_lists
from service.api_tokens import Token
from service.json_text import distinct

MAX_PEM_BYTES = 1024 * 1024


def endpoints(text: str, *, bare_scheme: str) -> tuple[str, ...]:
    """`"a:2379, https://b:2379"` as normalised URLs; a bare `host:port` gets `bare_scheme`. Raises ValueError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError("it names no endpoint")
    return tuple(dict.fromkeys(_endpoint(part, bare_scheme) for part in parts))


def _endpoint(text: str, bare_scheme: str) -> str:
    if "@" in text:
        raise ValueError("an endpoint carries a user name; those belong in ETCD_USER and ETCD_PASSWORD")
    url = text if "://" in text else f"{bare_scheme}://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{text!r} has the scheme {parts.scheme!r}")
    if not parts.hostname or any(character.isspace() for character in text):
        raise ValueError(f"{text!r} has no usable host name")
    if not port:
        raise ValueError(f"{text!r} has no port")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{text!r} has something behind the port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def pem(given: str | bytes) -> bytes:
    """PEM text as it is, or the contents of the file of that name. Raises ValueError.

    Platforms that can't carry line breaks in a variable write them as backslash and n; those are turned back.
    """
    text = given.decode("ascii") if isinstance(given, bytes) else given
    if "-----BEGIN " in text:
        return text.replace("\\n", "\n").encode()
    try:
        with Path(text).open("rb") as file:
            found = file.read(MAX_PEM_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        raise ValueError(f"it is not PEM text, and as a file it can't be read: {reason}") from None
    if b"-----BEGIN " not in found:
        raise ValueError("the file is not PEM: there is no '-----BEGIN ' in it")
    return found


def json_object(given: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON object. Raises ValueError, saying where it breaks but not what stands there."""
    if isinstance(given, Mapping):
        return given
    try:
        loaded = json.loads(given, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(loaded, dict):
        raise ValueError("it is JSON, but not an object")
    return loaded


def tokens(given: str | tuple[Token, ...]) -> tuple[Token, ...]:
    """Tokens, from a JSON list. Raises ValueError, saying which is wrong and how, but not what stands there."""
    return token_lists.from_json(given) if isinstance(given, str) else given


def host_names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """`"a.example, b"`, in small letters. Raises ValueError."""
    parts = given.split(",") if isinstance(given, str) else given
    names = [part.strip().lower() for part in parts if part.strip()]
    for name in names:
        authority = hosts.parse(name)
        if name != hosts.ANY and (authority is None or authority.port or name != authority.name):
            raise ValueError(f"{name!r} is not a host name by itself")
    if not names:
        raise ValueError("it names no host")
    return tuple(dict.fromkeys(names))


def key_prefix(text: str) -> str:
    """Where in etcd everything is kept, without a slash at the end. Raises ValueError."""
    prefix = text.rstrip("/")
    if not prefix:
        raise ValueError("it is empty, and the service would spread over all of etcd")
    if not prefix.isprintable() or " " in prefix:
        raise ValueError("it contains spaces or control characters")
    if len(prefix.encode()) > 256:
        raise ValueError("it is longer than 256 bytes")
    return prefix
