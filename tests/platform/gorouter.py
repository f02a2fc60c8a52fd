"""HAProxy in the place of gorouter, the platform's HTTP router, with its timeouts and its three attempts.

It knows what it is told, and checks nobody: an instance is registered when the platform finds it ready, and
unregistered a moment after it was told to stop.
"""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.haproxy_process import BACKEND, HaproxyProcess

PLACES = 24
"""Instances that can be registered, over the whole life of one router."""

# The defaults of routing-release: dial 5 s, request and frontend idle 900 s, idle connections to instances 90 s.
_CONFIG = """
global
    log stdout format raw local0 notice
    stats socket {socket} mode 600 level admin

defaults
    mode http
    option forwardfor
    retries 3
    option redispatch 1
    timeout connect 5s
    timeout client 900s
    timeout server 900s
    timeout http-keep-alive 900s
    timeout http-request 900s

frontend router
    bind 127.0.0.1:{port}
    http-request set-header X-Vcap-Request-Id %[uuid()]
    http-request set-header X-Forwarded-Proto https
    default_backend {backend}

backend {backend}
    balance roundrobin
    default-server pool-purge-delay 90s
    server-template instance- {places} 127.0.0.1:1 disabled
"""


class Router(HaproxyProcess):
    """Listens, for nobody yet."""

    def __init__(self, directory: Path, port: int) -> None:
        self._socket = directory / "router.sock"
        self._free = list(range(PLACES, 0, -1))
        self._places: dict[int, int] = {}
        text = _CONFIG.format(socket=self._socket, port=port, places=PLACES, backend=BACKEND)
        super().__init__(directory, text, port)

    @property
    def registered(self) -> frozenset[int]:
        """The ports of the instances that get requests."""
        return frozenset(self._places)

    def register(self, port: int) -> None:
        """From now on this instance gets requests."""
        place = self._places[port] = self._free.pop()
        self._tell(f"set server {BACKEND}/instance-{place} addr 127.0.0.1 port {port}")
        self._tell(f"set server {BACKEND}/instance-{place} state ready")

    def unregister(self, port: int) -> None:
        """From now on it gets none; those on their way are finished. Its place is not used again."""
        self._tell(f"set server {BACKEND}/instance-{self._places.pop(port)} state drain")

    def served(self, port: int) -> int:
        """Requests that this registered instance has been sent."""
        return int(self.row(f"instance-{self._places[port]}")["stot"])

    def statistics(self) -> str:
        """By its runtime socket."""
        return self._tell("show stat")

    def _tell(self, command: str) -> str:
        """One command over the runtime socket; what it answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
