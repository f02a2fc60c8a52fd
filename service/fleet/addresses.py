"""Where instances can be reached by each other, as text: `host:port`. Pure, but for the name of this machine.

Addresses of others stand in etcd, where anything may stand: one that is no address is never tried.
"""

from __future__ import annotations

import ipaddress
import re
import socket

from service.process.listener import EVERY_ADDRESS
from service.settings.model import Settings

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
    """Where this instance can be reached by the others, as it tells the fleet: `host:port`."""
    host = settings.cf_instance_internal_ip or settings.host
    if host in EVERY_ADDRESS:
        host = socket.gethostname()
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
