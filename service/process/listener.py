"""The port that the service listens on. Taken before anything else is started: one in use costs nothing then."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Callable, Collection

from service.process import handover
from service.process.startup import StartupError
from service.settings.descriptions import describe

BACKLOG = 4096
"""Connections that may wait to be accepted; the kernel has a bound of its own."""

BUFFER = 128 * 1024
"""Bytes of each direction, twice that as the kernel counts. Left alone it takes up to 6 MB of what nobody reads."""

TAKEN_WITHIN = 20
"""Seconds in which a client must take something of what is sent to it, or be cut off."""

LOOK = 0.002
"""Seconds between looks for the server's socket."""

EVERY_ADDRESS = ("0.0.0.0", "::")


def is_public(host: str) -> bool:
    """Whether others than this machine can reach what listens there. A name is looked up, as `reserve` does."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return host.lower() != "localhost"
    return not all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


def reserve(host: str, port: int, *, of_worker: bool = False) -> socket.socket:
    """Take the port, alone: no other process can have it as long as the socket is held. Raises StartupError.

    Ours can: who has the socket, or was handed it, lets its server in. of_worker: whether it is a worker's own.

    The server listens on a socket of its own, since it takes none that exists:

        1. A and B start at once, and both bind the port: SO_REUSEADDR, without which the connections of an earlier run
           would keep it taken for a minute, lets them, since neither listens,
        2. A listens, which the kernel allows to one of them only; B is told that the port is taken,
        3. A stops listening, and stays bound; it may not be bound beside any more, but by its user with SO_REUSEPORT,
        4. A's server binds the same address, with SO_REUSEPORT,
        5. C, which starts now, finds A: who reserves does not say SO_REUSEPORT before it is alone.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((host, port))
            if sys.platform == "linux":  # elsewhere SO_REUSEADDR lets nobody in beside who is bound
                held.listen()
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                held.shutdown(socket.SHUT_RDWR)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except BaseException:
            held.close()
            raise
    except UnicodeError:  # a label that is empty or has more than 63 characters
        raise StartupError(_words_for_host(host)) from None
    except OSError as error:
        raise StartupError(_explain(error, host, port, of_worker=of_worker)) from None
    return held


def listen_beside(address: tuple[str, int]) -> socket.socket:
    """Listen, without waiting, beside who has reserved the address, and beside other workers. Raises OSError."""
    listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        _bound_each_connection(listener)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


async def listening(
    address: tuple[str, int], within: float, unless: Callable[[], bool], beside: Collection[int] = ()
) -> int | None:
    """Wait until this process listens there, and bound each connection from then on; the socket's inode, if in time.

    unless: whether there is no hope any more. beside: inodes of those that listen there already.

    What the kernel holds for a client, and for how long, every connection inherits from the socket that listens. That
    one is the server's: it is found among the files that are open.
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and not unless():
        for listener in handover.listeners():
            with listener:
                inode = os.fstat(listener.fileno()).st_ino
                if listener.getsockname()[:2] == address and inode not in beside:
                    _bound_each_connection(listener)
                    return inode
        await asyncio.sleep(LOOK)
    return None


def _bound_each_connection(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKEN_WITHIN * 1000)


def reached_at(host: str) -> str:
    """Where this machine itself reaches what listens at `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def url(host: str, port: int, scheme: str = "http") -> str:
    """The address as a URL."""
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def shown(host: str) -> str:
    """The text for HOST in a message: an address, or that it is a name; anything may be set there, a secret too."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host if host.lower() == "localhost" else describe(host).replace("text", "name")


def _words_for_host(host: str) -> str:
    return (
        f"HOST is {shown(host)}, which is no address of this machine. Expected an address to listen on, "
        "for example HOST=127.0.0.1, or HOST=0.0.0.0 for all of them"
    )


def _explain(error: OSError, host: str, port: int, *, of_worker: bool) -> str:
    if error.errno is None or error.errno < 0 or error.errno == errno.EADDRNOTAVAIL:  # below 0: of name resolution
        return _words_for_host(host)
    if error.errno == errno.EADDRINUSE:
        reason = "something else listens there already"
    elif error.errno == errno.EACCES:
        reason = "this user may not listen there (ports below 1024 are reserved)"
    else:
        reason = os.strerror(error.errno)  # its own text repeats the host
    if of_worker:
        return (
            f"{port} is to be a worker's own port, but {reason}. Expected a free port for each of WORKERS from "
            f"WORKER_PORT on, which is PORT + 1 unless it is set, for example WORKER_PORT={_another(port)}"
        )
    return f"PORT is {port}, but {reason}. Expected a free port, for example PORT={_another(port)}"


def _another(port: int) -> int:
    return port + 1 if 1024 <= port < 65535 else 8080
