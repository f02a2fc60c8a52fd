"""HAProxy in the place of gorouter, the platform's HTTP router, with its timeouts and its three attempts.

It knows what it is told, and checks nobody: an instance is registered when the platform finds it ready, and
unregistered a moment after it was told to stop. Owns the process.
"""

from __future__ import annotations

import csv
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy import haproxy
from tests.support.etcd import dying_with_us, wait_for

PLACES = 24
"""Instances that can be registered, over the whole life of one router."""

# The defaults of routing-release: dial 5 s, request and frontend idle 900 s, idle connections to instances 90 s.
_CONFIG = """
global
    log stdout format raw local0 notice
    stats socket {directory}/router.sock mode 600 level admin

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
    default_backend app

backend app
    balance roundrobin
    default-server pool-purge-delay 90s
    server-template instance- {places} 127.0.0.1:1 disabled
"""


class Router:
    """As a context manager it listens, for nobody yet."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self._directory = directory
        self._file = directory / "router.cfg"
        self._file.write_text(_CONFIG.format(directory=directory, port=port, places=PLACES), encoding="utf-8")
        self._free = list(range(PLACES, 0, -1))
        self._places: dict[int, int] = {}

    def __enter__(self) -> Self:
        program = haproxy.find()
        assert program, "haproxy is not installed"
        with (self._directory / "router.log").open("wb") as log:
            command = dying_with_us([program, "-db", "-f", str(self._file)])
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._listens, what="HAProxy listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(5)

    @property
    def registered(self) -> frozenset[int]:
        """The ports of the instances that get requests."""
        return frozenset(self._places)

    def register(self, port: int) -> None:
        """From now on this instance gets requests."""
        place = self._places[port] = self._free.pop()
        self._tell(f"set server app/instance-{place} addr 127.0.0.1 port {port}")
        self._tell(f"set server app/instance-{place} state ready")

    def unregister(self, port: int) -> None:
        """From now on it gets none; those on their way are finished. Its place is not used again."""
        self._tell(f"set server app/instance-{self._places.pop(port)} state drain")

    def served(self, port: int) -> int:
        """Requests that this registered instance has been sent."""
        return int(self._row(f"instance-{self._places[port]}")["stot"])

    def total(self, *names: str) -> dict[str, int]:
        """Counters over all instances that ever were, by HAProxy's names."""
        row = self._row("BACKEND")
        return {name: int(row[name]) for name in names}

    def _row(self, name: str) -> dict[str, str]:
        rows = csv.DictReader(self._tell("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == ("app", name))

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._directory / "router.log").read_text()
        try:
            return bool(self._row("BACKEND"))
        except OSError:
            return False

    def _tell(self, command: str) -> str:
        """One command over the runtime socket; what it answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._directory / "router.sock"))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
