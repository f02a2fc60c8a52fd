"""Everything that a row may need, started when the first row needs it, ended together.

Owns what is set up, all on the loopback: who runs with which settings, which documents are in etcd, and the files that
are needed, beneath one directory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.client import Client, wait_for
from bench.documents import HEADERS, batches, document, name_of, write_lines
from bench.effort import Effort
from bench.peers import nginx
from bench.processes import READY_WITHIN, STOPPED_WITHIN, Processes, at, free_port
from bench.programs import find
from service.embedded_etcd.child import launch
from service.embedded_etcd.shared import find_etcd
from service.process.startup import StartupError

GATEWAY = "--enable-grpc-gateway=true"

PREFIX = "/bench"
"""Where in etcd the instance has its documents."""

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Instance:
    """One that is ready and holds a slot."""

    url: str
    pid: int


class Stage:
    """As a context manager it ends what was started. From the main thread only."""

    def __init__(self, directory: Path, effort: Effort) -> None:
        self.effort = effort
        self._directory = directory.absolute()
        self._processes = Processes(self._directory)
        self._written = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    # --- ours

    @cached_property
    def etcd(self) -> str:
        """One etcd, durable, as the embedded one is started, but with its JSON gateway, a peer. Its endpoint."""
        etcd = launch(
            find_etcd(), self._directory / "etcd", self._directory / "etcd.log", within=READY_WITHIN, options=(GATEWAY,)
        )
        self._processes.at_end(lambda: etcd.stop(STOPPED_WITHIN))
        return etcd.endpoint

    @cached_property
    def instance(self) -> str:
        """One instance with its defaults. Where it is."""
        return self.start_instance(PREFIX).url

    @cached_property
    def unbound(self) -> str:
        """Another instance over the same documents, whose threads the kernel spreads over the CPUs. Where it is."""
        return self.start_instance(PREFIX, THREADS_ON_ONE_CPU="false").url

    @cached_property
    def fleet(self) -> tuple[str, ...]:
        """Several instances with a prefix of their own."""
        return tuple(self.start_instance("/fleet").url for _ in range(self.effort.instances))

    def start_instance(self, prefix: str, **settings: str) -> Instance:
        """One more, at that prefix in etcd; returns when it may cache."""
        port = free_port()
        given = {"HOST": "127.0.0.1", "PORT": str(port), "ETCD_ENDPOINTS": self.etcd, "USER_KEY_PREFIX": prefix}
        command = [sys.executable, "-m", "service"]
        child = self._processes.start("instance", command, f"{at(port)}/readyz", **given, **settings)
        with Client(at(port)) as asking:
            wait_for(lambda: _has_slot(asking), READY_WITHIN, f"{child.name} has a slot")
        return Instance(at(port), child.pid)

    def need(self, count: int) -> None:
        """Sees to it that the first `count` documents are in etcd."""
        with Client(self.instance) as asking:
            for body in batches(self._written, count):
                asking.ask("POST", "/config/", body)
        self._written = max(self._written, count)

    def warm(self, count: int) -> None:
        """Sees to it that the instance holds the first `count` documents."""
        self.need(count)
        with Client(self.instance) as asking:
            for number in range(count):
                asking.ask("GET", f"/config/{name_of(number)}")

    # --- peers

    @cached_property
    def bare(self) -> str:
        """A bare WSGI callable."""
        return self._start_peer("bare")

    @cached_property
    def bare_with_one_header(self) -> str:
        """The same without the headers of a hit."""
        return self._start_peer("bare-with-one-header", headers=())

    @cached_property
    def flask(self) -> str:
        """A Flask route that returns a constant."""
        return self._start_peer("flask")

    @cached_property
    def flask_redis(self) -> str:
        """Flask with its cache in Redis."""
        return self._start_peer("redis", *self._redis)

    @cached_property
    def flask_redis_tracking(self) -> str:
        """The same, and redis-py caches on its side."""
        return self._start_peer("redis", *self._redis, "--tracking")

    @cached_property
    def nginx(self) -> str:
        """nginx with the first document as a file."""
        home, port = self._directory / "nginx", free_port()
        file = home / "files" / "config" / name_of(0)
        file.parent.mkdir(parents=True)
        file.write_bytes(document(0))
        (home / "nginx.conf").write_text(nginx.configuration(home, port), encoding="utf-8")
        return self._serve("nginx", port, [str(find("nginx")), "-p", str(home), "-c", str(home / "nginx.conf")])

    @cached_property
    def _redis(self) -> Sequence[str]:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        self._processes.start("redis-server", [str(find("redis-server")), *options])
        self.need(1)
        return "--redis", str(port), "--etcd", self.etcd, "--prefix", PREFIX

    def _start_peer(self, name: str, *more: str, headers: Headers = HEADERS) -> str:
        port = free_port()
        command = [sys.executable, "-m", "bench.peers.serve", name, "--port", str(port), *more]
        return self._serve(name, port, command, headers)

    def _serve(self, name: str, port: int, command: Sequence[str], expected: Headers = HEADERS) -> str:
        """A peer that serves the first document. Raises StartupError when it serves anything else than we do."""
        path = f"/config/{name_of(0)}"
        self._processes.start(name, command, at(port) + path)
        with Client(at(port)) as asking:
            body, headers = asking.ask("GET", path)
        if body != document(0) or not {header.lower() for header, _ in expected} <= headers.keys():
            raise StartupError(f"{name} does not serve what the service does: {body!r} with {headers}")
        return at(port)

    # --- how

    def lines(self, name: str, lines: Iterable[str]) -> str:
        """The path of a file with these requests; made once."""
        file = self._directory / f"{name}.requests"
        return str(file if file.exists() else write_lines(file, lines))


def _has_slot(client: Client) -> bool:
    content, _ = client.ask("GET", "/members")
    return json.loads(content)["me"] is not None
