"""The head of a request: read once into WSGI's environment, whichever protocol a server speaks; and what is refused for
its framing or its headers, before anything else is looked at. Pure.

An ASGI server shows every byte of the path and of each header line, so nothing is decoded before we do it: once, here.
Several lines of a header are one from then on, joined by commas, those of cookies by semicolons. Some WSGI servers
hand over one that is not ASCII as empty. So a header that guards something and is empty was sent, and has not been
understood: it is never taken for absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from service.http.hosts import Authority, Hosts, parse
from service.http.problems import Refused, bad_request, refused
from service.tls.client_certificates import SHOWN

Environ = dict[str, Any]
"""PEP 3333, but for the `wsgi.` part, which only Flask's routes need (`service.http.bridge`)."""

TRANSFER_ENCODING = "HTTP_TRANSFER_ENCODING"

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_SAME = ("same-origin", "none")
"""Sec-Fetch-Site of what a page of ours asks for, or a person. Not same-site: another port of localhost is that."""

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_LONGEST_SHOWN = 60
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
    return environ.get("CONTENT_LENGTH", "0") != "0" or TRANSFER_ENCODING in environ


def conditions_in(environ: Environ) -> tuple[str | None, str | None]:
    """Return If-Match and If-None-Match as they came; Flask's own parser takes malformed ones for absent."""
    return environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")


def ambiguous_framing() -> Refused:
    """Return a refusal (411): a proxy in front might see another end of the request than this server (smuggling)."""
    return refused(
        HTTPStatus.LENGTH_REQUIRED, "length-required", "Send a Content-Length instead of a Transfer-Encoding."
    )


def host_in(text: str, hosts: Hosts) -> Authority:
    """The Host that a request names. Raises Refused: 400 if it is none, 403 if it is not one of `hosts`."""
    if "," in text:
        raise bad_request("two-hosts", "The request has more than one Host.")
    host = parse(text)
    if host is None:
        raise bad_request("invalid-host", f"Host must be a name or an address, and perhaps a port, not {_shown(text)}.")
    if not hosts.admit(host.name):
        detail = (
            f"Nothing is answered under the name {_shown(host.name)}. The names that are belong into ALLOWED_HOSTS; "
            "without it, an instance that listens on a loopback address answers to localhost only."
        )
        raise refused(HTTPStatus.FORBIDDEN, "foreign-host", detail)
    return host


def check_absent_host(environ: Environ) -> None:
    """Raises Refused (400) unless the client may leave Host out, as those of HTTP/1.0 may: health checks do."""
    if environ.get("SERVER_PROTOCOL", "HTTP/1.1") not in ("HTTP/1.0", "HTTP/1"):
        raise bad_request("invalid-host", "The request has no Host, or one that can't be read.")


def check_write(environ: Environ, host: Authority | None) -> None:
    """Check the head of a request whose method is not safe. Raises Refused (400, 403)."""
    if "HTTP_CONTENT_RANGE" in environ:
        detail = "The body is taken for the whole document, so there must be no Content-Range (RFC 9110, 14.5)."
        raise bad_request("content-range", detail)
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site is not None and site not in _SAME:
        raise _cross_origin(f"The header Sec-Fetch-Site is {_shown(site)}")
    if origin is not None and not _is_origin_of(host, origin):
        asked = "there is no Host" if host is None else f"the Host is {_shown(environ['HTTP_HOST'])}"
        raise _cross_origin(f"The header Origin is {_shown(origin)}, and {asked}")


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


def _is_origin_of(host: Authority | None, origin: str) -> bool:
    """Whether a page of this origin was served by the host. By which scheme plays no part: TLS may end at a proxy."""
    scheme, separator, rest = origin.partition("://")
    default, page = _DEFAULT_PORTS.get(scheme), parse(rest)
    if host is None or page is None or default is None or not separator:
        return False
    return (page.name, page.port or default) == (host.name, host.port or default)


def _cross_origin(found: str) -> Exception:
    detail = (
        f"{found}: the page of another site may not write here. "
        "(If it was a page of this service, a proxy in between changes Host; it has to be passed on as it came.)"
    )
    return refused(HTTPStatus.FORBIDDEN, "cross-origin", detail)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
