"""The socket that the service listens on. Taken before anything else is started: a port in use costs nothing then."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from service.process.startup import StartupError
from service.settings.descriptions import describe

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel has a bound of its own."""

BUFFER = 128 * 1024
"""Bytes of each direction, twice that as the kernel counts. Left alone it takes up to 6 MB of what nobody reads."""

TAKEN_WITHIN = 20
"""Seconds in which a client must take something of what is sent to it, or be cut off."""

EVERY_ADDRESS = ("0.0.0.0", "::")


def is_public(host: str) -> bool:
    """Whether others than this machine can reach what listens there. A name is looked up, as `listen` does."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return host.lower() != "localhost"
    return not all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


def listen(host: str, port: int) -> socket.socket:
    """Listens, alone: no other process can share the port. Raises StartupError.

    Clients that come while the service is starting wait in the backlog instead of being refused.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except UnicodeError:  # a label that is empty or has more than 63 characters
        raise StartupError(_words_for_host(host)) from None
    except OSError as error:
        raise StartupError(_explain(error, host, port)) from None
    _bound_each_connection(listener)
    return listener


def _bound_each_connection(listener: socket.socket) -> None:
    """What the kernel holds for a client, and for how long. Every connection inherits it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKEN_WITHIN * 1000)


def shown(host: str) -> str:
    """What a message may say of HOST: an address, or that it is a name; what is no address may be anything."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host if host.lower() == "localhost" else describe(host).replace("text", "name")


def _words_for_host(host: str) -> str:
    return (
        f"HOST is {shown(host)}, which is no address of this machine. Expected an address to listen on, "
        "for example HOST=127.0.0.1, or HOST=0.0.0.0 for all of them"
    )


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:  # below 0: of name resolution
        return _words_for_host(host)
    if error.errno == errno.EADDRINUSE:
        reason = "something else listens there already"
    elif error.errno == errno.EACCES:
        reason = "this user may not listen there (ports below 1024 are reserved)"
    else:
        reason = os.strerror(error.errno)  # its own text repeats the host
    return f"PORT is {port}, but {reason}. Expected a free port, for example PORT={_another(port)}"


def _another(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8080
