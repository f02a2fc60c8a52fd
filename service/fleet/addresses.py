"""Where instances can be reached by each other, as text: `host:port`; and how, by HTTP or HTTPS. Pure.

Addresses of others stand in etcd, where anything may stand: one that is no address is never tried.
"""

from __future__ import annotations

import ipaddress
import re

from service.http.hosts import parse
from service.settings.model import Settings

HTTP, HTTPS = "http", "https"

_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")  # IPv4 addresses look like names
_PORT = re.compile("[0-9]{1,5}")


def is_address(text: object) -> bool:
    """Whether this is `host:port`; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        return False
    return _is_ipv6(host[1:-1]) if host.startswith("[") and host.endswith("]") else bool(_NAME.fullmatch(host))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.IPv6Address(text).scope_id is None
    except ValueError:
        return False


def address_of(settings: Settings) -> str:
    """Where this instance can be reached by the others, as it tells the fleet: `host:port`.

    At the start of a service ADVERTISE_ADDRESS becomes what is found (`service.fleet.advertised`).
    """
    return with_port(without_scheme(settings.advertise_address or settings.host), settings.port)


def scheme_of(settings: Settings) -> str:
    """How this instance is reached there: as ADVERTISE_ADDRESS says, else as it speaks itself."""
    said, separator, _ = (settings.advertise_address or "").partition("://")
    return said if separator else own_scheme(settings)


def own_scheme(settings: Settings) -> str:
    """What this instance itself speaks."""
    return HTTPS if settings.speaks_https else HTTP


def without_scheme(address: str) -> str:
    """What stands behind `https://`."""
    return address.rpartition("://")[2]


def host_of(address: str | None) -> str:
    """The host of one that may have a port, as requests name it; "" if there is none."""
    found = parse(without_scheme(address)) if address else None
    return found.name if found else ""


def with_port(host: str, port: int) -> str:
    """`host:port` of a host, with its own port if it has one; an IPv6 address may stand without brackets."""
    given = parse(f"[{host}]" if _is_ipv6(host) else host)
    return f"{given.name}:{given.port or port}" if given else f"{host}:{port}"
