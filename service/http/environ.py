"""A request as the service knows it: WSGI's environment, whichever protocol a server speaks. Pure.

An ASGI server shows every byte of the path and of each header line, so nothing is decoded before we do it: once, here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from service.tls.client_certificates import SHOWN

Environ = dict[str, Any]
"""PEP 3333, but for the `wsgi.` part, which only Flask's routes need (`service.http.bridge`)."""

_NOT_HTTP = {b"content-length": "CONTENT_LENGTH", b"content-type": "CONTENT_TYPE"}
_NAMES_KEPT = 1024


def environ_of(scope: Mapping[str, Any]) -> Environ:
    """What an ASGI server tells of a request; text is latin-1, a character a byte, as in WSGI."""
    path: bytes = scope["raw_path"]
    if b"%" in path:
        path = unquote_to_bytes(path)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
    }
    if SHOWN in scope:
        environ[SHOWN] = scope[SHOWN]
    _add_headers(environ, scope["headers"])
    return environ


def carries_body(environ: Environ) -> bool:
    """Return whether a body comes with the request, or may come."""
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


def conditions_in(environ: Environ) -> tuple[str | None, str | None]:
    """Return If-Match and If-None-Match as they came; Flask's own parser takes malformed ones for absent."""
    return environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")


def _add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Several lines of one name are one value (RFC 9110, 5.2)."""
    for raw, value in headers:
        if name := _name(raw):
            text = value.decode("latin-1")
            if name in environ:
                text = environ[name] + ("; " if name == "HTTP_COOKIE" else ",") + text
            environ[name] = text
    if not environ.get("HTTP_HOST", "absent"):
        del environ["HTTP_HOST"]  # so the server shows a request that has none


@lru_cache(maxsize=_NAMES_KEPT)
def _name(header: bytes) -> str:
    """Empty for a name with an underscore, which would be taken for another one with a hyphen."""
    if b"_" in header:
        return ""
    return _NOT_HTTP.get(header) or "HTTP_" + header.decode("latin-1").upper().replace("-", "_")
