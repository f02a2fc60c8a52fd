"""What can be found out from outside: which ports are free, and whether an instance is ready."""

from __future__ import annotations

import socket
import ssl
import urllib.error
import urllib.request

from service.process.startup import StartupError


def free_ports(count: int, first: int) -> list[int]:
    """The next `count` TCP ports from `first` on that nobody listens on. Raises StartupError when there are too few."""
    free = [port for port, _ in zip(_free_from(first), range(count), strict=False)]
    if len(free) < count:
        raise StartupError(f"--port {first}: expected {count} free ports from there on, found {len(free)}")
    return free


def _free_from(first: int) -> filter[int]:
    return filter(lambda port: _is_free("127.0.0.1", port), range(first, 65536))


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free(host: str, port: int, option: str = "--port") -> None:
    """Raises StartupError when something listens there already."""
    if not _is_free(host, port):
        raise StartupError(
            f"{option} {port}: something else listens on {host}:{port}. Expected a free port, for example "
            f"{option} {port + 1000}"
        )


def reachable(address: str) -> str:
    """Where to reach what listens on `address`."""
    return address.replace("0.0.0.0", "127.0.0.1")


def trusting(authorities: bytes | None) -> ssl.SSLContext:
    """For probes of what this machine's own processes show: whoever these vouch for (PEM), under whatever name."""
    context = ssl.create_default_context(cadata=authorities.decode("ascii") if authorities else None)
    context.check_hostname = False
    return context


def readiness(address: str, context: ssl.SSLContext | None = None) -> str:
    """Status and beginning of the answer of /readyz, or why there was none. context: for HTTPS."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=2.0, context=context) as answer:
            return f"{answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read(200)!r}"
    except OSError as error:
        return str(error)
