"""Which Host a request may name: what one looks like (RFC 9110, 7.2), and which this instance answers to.

Does no I/O but to look up the name that HOST may be.

A page of another site can let its own name lead to this machine (DNS rebinding): to the browser it then is the same
site, whatever it asks for. What gives it away is that name. So an instance that listens on this machine alone answers
to this machine's names alone, and any other to those of ALLOWED_HOSTS, if they are set.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from service.process.listener import is_public

ANY = "*"
LOCAL = "localhost"

_AUTHORITY = re.compile(r"([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?", re.ASCII | re.IGNORECASE)
_LARGEST_PORT = 65535

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Authority:
    """A host and a port as an address or the header Host names them. `name`: in small letters. `port`: "" if none."""

    name: str
    port: str = ""


def parse(text: str) -> Authority | None:
    """`host` or `host:port`; None if it is neither. Names that are not ASCII are sent as `xn--…`."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    name, port = found[1].lower(), (found[2] or "").lstrip("0")
    if (name.startswith("[") and address_in(name) is None) or (port and int(port) > _LARGEST_PORT):
        return None
    return Authority(name.removesuffix("."), port)


def address_in(name: str) -> Address | None:
    """The IP address that a name is; None if it has to be looked up."""
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Hosts:
    """Those that are answered. names: None: all. addresses: any IP address as well, since nobody can rebind one."""

    names: frozenset[str] | None
    addresses: bool = False

    def admit(self, name: str) -> bool:
        """Whether requests to this name are answered. Loopback addresses always are."""
        if self.names is None or name in self.names:
            return True
        address = address_in(name)
        return address is not None and (self.addresses or address.is_loopback)


def hosts_of(listening: str, allowed: Collection[str], own_name: str, advertised: str = "") -> Hosts:
    """listening: the setting HOST. allowed: ALLOWED_HOSTS. own_name: this machine's. advertised: the host at which the
    other instances ask this one.

    Behind ALLOWED_HOSTS alone any address is answered: platforms probe and discovery scrapes by address.
    """
    if ANY in allowed or (is_public(listening) and not allowed):
        return Hosts(None)
    names = frozenset({LOCAL, listening.lower(), *allowed} | ({advertised} if advertised else set()))
    return Hosts(names | {own_name.lower()}, addresses=True) if is_public(listening) else Hosts(names)
