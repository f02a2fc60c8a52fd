"""Which address an instance tells the others, and why that one.

What it is told comes first. Else an address is found, never a name: the name of a pod or of a virtual machine often
means something on that machine alone. Sends nothing, and asks no name server.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.fleet.addresses import HTTP, scheme_of, with_port, without_scheme
from service.process.listener import EVERY_ADDRESS
from service.settings.model import Settings

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that belong to nobody (RFC 5737, RFC 3849): the way to them is the way to whatever is far away."""

_DISCARD = 9
"""A port. Nothing is sent there."""


@dataclass(frozen=True, slots=True)
class Advertised:
    """address: `host:port`. why: where it comes from, for people. scheme: http or https."""

    address: str
    why: str
    scheme: str = HTTP

    @property
    def setting(self) -> str:
        """As ADVERTISE_ADDRESS says it."""
        return self.address if self.scheme == HTTP else f"{self.scheme}://{self.address}"


def advertised(
    settings: Settings, endpoints: Iterable[str], own_port: int | None = None, number: int = 1
) -> Advertised:
    """Return where the others of the fleet are told to ask this instance, and why there.

    endpoints: etcd's, as URLs. A machine that reaches the same etcd most likely reaches the address by which we
    reach it.

    own_port: of a worker, since PORT is that of all of them. number: which worker, from 1 on: a port that
    ADVERTISE_ADDRESS names is the first one's, and each further one has the next.
    """
    host, why = _host(settings, endpoints)
    host = without_scheme(host)
    address = with_port(host, settings.port if own_port is None else own_port)
    name, _, port = with_port(host, 0).rpartition(":")
    address = f"{name}:{int(port) + number - 1}" if int(port) else address
    return Advertised(address, why, scheme_of(settings))


def _host(settings: Settings, endpoints: Iterable[str]) -> tuple[str, str]:
    for given, name in (
        (settings.advertise_address, "ADVERTISE_ADDRESS"),
        (settings.cf_instance_internal_ip, "CF_INSTANCE_INTERNAL_IP"),
        (settings.pod_ip, "POD_IP"),
    ):
        if given:
            return given, f"as {name} says"
    if settings.host not in EVERY_ADDRESS:
        return settings.host, "as HOST says"
    for found, why in _found(endpoints):
        address = ipaddress.ip_address(found)
        if not (address.is_loopback or address.is_link_local) and (address.version == 4 or ":" in settings.host):
            return found, why
    return "127.0.0.1", "found: there is no way from this machine to another one"


def _found(endpoints: Iterable[str]) -> Iterator[tuple[str, str]]:
    for endpoint in endpoints:
        host = urlsplit(endpoint).hostname or ""
        with contextlib.suppress(ValueError):  # a name: who looks it up may have to wait
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
            yield from ((found, "found: by it etcd is reached") for found in _source(family, host))
    for family, host in _ELSEWHERE.items():
        yield from ((found, "found: by it other machines are reached") for found in _source(family, host))


def _source(family: socket.AddressFamily, host: str) -> Iterator[str]:
    """The address that this machine would send from to another, if there is a way to it."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, _DISCARD))  # of a datagram's socket: it chooses the way, and sends nothing
        yield str(probe.getsockname()[0])
