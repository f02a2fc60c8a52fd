"""Everything that a contest may need, started when the first one needs it, ended together.

Owns what is set up, all on the loopback: who runs with which settings, which documents are in etcd, and the files that
are needed, beneath one directory. An instance is started as its users start it: `python -m service`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from bench import peers
from bench.documents import batches, document, name_of, write_lines
from bench.processes import READY_WITHIN, Client, Processes, at, free_ports, free_run, has_slot, stop, wait_for
from service.embedded_etcd.binary import find_etcd
from service.process.startup import StartupError
from tools.processes import Child

PREFIX = "/bench"
"""Where in etcd the instances have their documents."""

WORKERS = 2
"""As many as there are processors where most of this has been measured."""

HIT = f"/config/{name_of(0)}"
"""The document that all hits are of, unless said."""


@dataclass(frozen=True, slots=True)
class Effort:
    """rounds: of each contest; in each, both sides are measured once. seconds: of one measurement (whole ones).

    hot: documents that hits are of beside misses. documents: entries of an instance whose memory is looked at.
    held: documents that a client of the library holds. fleet, wide: instances of a fleet, and of a wider one.
    waiting: clients that are connected and ask nothing. idle: seconds for which an idle instance is watched.
    writes: of one round that are followed until they are seen. waiters: clients that wait for changes of an instance
    whose memory is looked at. followers: those that are told of the same changes; tellings: how often, in one round.
    """

    rounds: int = 5
    seconds: int = 2
    hot: int = 1_000
    documents: int = 100_000
    held: int = 10_000
    fleet: int = 4
    wide: int = 8
    waiting: int = 2_000
    idle: float = 10.0
    writes: int = 200
    waiters: int = 9_900
    followers: int = 1_000
    tellings: int = 5


QUICK = Effort(
    rounds=1, seconds=1, hot=100, documents=4_000, held=500, fleet=2, wide=3, waiting=200, idle=1.0, writes=20,
    waiters=500, followers=50, tellings=2,
)  # fmt: skip
"""Shows that everything runs, not how fast."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One that is ready and holds a slot."""

    url: str
    process: Child


class Stage:
    """As a context manager it ends what was started. From the main thread only."""

    def __init__(self, directory: Path, effort: Effort, *, own_sessions: bool) -> None:
        self.effort = effort
        self.own_sessions = own_sessions
        self._directory = directory.absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._processes = Processes(self._directory, own_sessions=own_sessions)
        self._fleet: list[Instance] = []
        self._written = 0

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.close()

    @cached_property
    def etcd(self) -> str:
        """One etcd, durable, with its JSON gateway, which is a peer. Its endpoint."""
        (port,) = free_ports(1)
        options = [f"--data-dir={self._directory / 'etcd'}", "--listen-peer-urls=http://127.0.0.1:0"]
        options += [f"--listen-client-urls={at(port)}", f"--advertise-client-urls={at(port)}", "--log-level=warn"]
        self._processes.start("etcd", [str(find_etcd()), *options], f"{at(port)}/health")
        return at(port)

    @property
    def instance(self) -> str:
        """The instance that is measured, with its defaults. Where it is."""
        return self.fleet(1)[0]

    def fleet(self, count: int) -> Sequence[str]:
        """So many instances over the same documents; those that are missing are started. Where they are."""
        while len(self._fleet) < count:
            self._fleet.append(self._start_instance())
        return [each.url for each in self._fleet[:count]]

    @cached_property
    def workers(self) -> str:
        """An instance as the measured one, but of WORKERS, each of which holds the document of hits. Where it is."""
        port = free_run(WORKERS + 1)
        command, settings = self._instance(port)
        url = f"{at(port)}/readyz"
        child = self._processes.start("workers", command, url, WORKERS=str(WORKERS), **settings)
        self.need(1)
        for own in range(port + 1, port + 1 + WORKERS):
            wait_for(partial(has_slot, at(own)), READY_WITHIN, f"{child.name} has a slot at {own}")
            with Client(at(own)) as asking:
                wait_for(partial(_hits, asking), READY_WITHIN, f"{child.name} answers from memory")
        return at(port)

    @contextlib.contextmanager
    def another_instance(self, **settings: str) -> Iterator[Instance]:
        """One more, with these settings, for as long as the block lasts."""
        instance = self._start_instance(**settings)
        yield instance
        stop(instance.process)

    def _start_instance(self, **settings: str) -> Instance:
        (port,) = free_ports(1)
        command, given = self._instance(port)
        child = self._processes.start("instance", command, f"{at(port)}/readyz", **{**given, **settings})
        wait_for(lambda: has_slot(at(port)), READY_WITHIN, f"{child.name} has a slot")
        return Instance(at(port), child)

    def _instance(self, port: int) -> tuple[Sequence[str], Mapping[str, str]]:
        """How one is started, and with which settings."""
        given = {"HOST": "127.0.0.1", "PORT": str(port), "ETCD_ENDPOINTS": self.etcd, "USER_KEY_PREFIX": PREFIX}
        return [sys.executable, "-m", "service"], given

    def need(self, count: int) -> None:
        """Sees to it that the first `count` documents are in etcd."""
        with Client(self.instance) as asking:
            for body in batches(self._written, count):
                asking.ask("POST", "/config/", body)
        self._written = max(self._written, count)

    def warm(self, count: int) -> None:
        """Sees to it that the measured instance holds the first `count` documents."""
        self.need(count)
        with Client(self.instance) as asking:
            for number in range(count):
                asking.ask("GET", f"/config/{name_of(number)}")

    def lines(self, name: str, lines: Iterable[str]) -> str:
        """The path of a file with these requests; made once."""
        file = self._directory / f"{name}.requests"
        return str(file if file.exists() else write_lines(file, lines))

    @cached_property
    def bare(self) -> str:
        """A bare RSGI callable."""
        (port,) = free_ports(1)
        return self._serve("bare", port, [sys.executable, "-m", "bench.peers", "bare", str(port)])

    @cached_property
    def flask(self) -> str:
        """A Flask route that returns a constant, on Granian with WSGI."""
        (port,) = free_ports(1)
        return self._serve("flask", port, peers.flask_command(port))

    def _serve(self, name: str, port: int, command: Sequence[str]) -> str:
        """A peer that answers what a hit answers. Raises StartupError when it answers anything else."""
        body, headers = self._hit
        self._processes.start(name, command, at(port) + HIT, **peers.environment(body, headers))
        with Client(at(port)) as asking:
            found, theirs = asking.ask("GET", HIT)
        if (found, theirs.keys()) != (body, headers.keys()):
            raise StartupError(f"{name} answers {found!r} with {sorted(theirs)}, a hit is {body!r} {sorted(headers)}")
        return at(port)

    @cached_property
    def _hit(self) -> tuple[bytes, Mapping[str, str]]:
        self.warm(1)
        with Client(self.instance) as asking:
            body, headers = asking.ask("GET", HIT)
        if body != document(0) or headers.get("x-cache") != "HIT":
            raise StartupError(f"the service answers no hit: {body!r} with {headers}")
        return body, headers


def _hits(client: Client) -> bool:
    _, headers = client.ask("GET", HIT)
    return headers.get("x-cache") == "HIT"
