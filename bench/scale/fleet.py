"""Fleets of one design, growing as they are told to. Owns how each design is started, and its place in etcd.

Instances are real processes. Ours start as users start them, a few at a time. The others are forked from one process
that has imported everything, so that 64 of them start in seconds: `python -m bench.scale.fleet NAME ETCD PREFIX PORT…`
serves one at each port. Connections to etcd are made after the fork. They end with the process that was started, and it
ends when one of them does. The HTTP of the standard library is enough: what is counted is what etcd does, however
quickly it is asked.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import connection
from pathlib import Path

from bench.processes import Metrics, Processes, at, free_ports, get, has_slot, wait_for
from bench.scale.counts import Counts, settled
from bench.scale.designs import Design, Etcd, NoCache, PrefixWatch, TtlCache, VersionKey
from service.process.startup import StartupError
from tools.processes import Child, listens

OURS = "ours"
DESIGNS: dict[str, Callable[[Etcd], Design]] = {
    "no-cache": NoCache,
    "prefix-watch": PrefixWatch,
    "version-key": VersionKey,
    "ttl-cache": TtlCache,
}
NAMES = (OURS, *DESIGNS)

MOST = 64
"""Instances of a fleet."""

AT_ONCE = 4
"""Starting an interpreter takes a second of a processor: more at once would only keep one another waiting."""

GROWN_WITHIN = 120.0
"""Seconds for one wave: the machine may be busy."""

ROOT = "/config/"


def sizes(text: str) -> list[int]:
    """Numbers of instances, from a command line; ascending. Raises argparse.ArgumentTypeError."""
    found = [int(each) if each.isdecimal() else 0 for each in text.split(",")]
    if not all(1 <= size <= MOST for size in found):
        raise argparse.ArgumentTypeError(f"{text}: expected numbers from 1 to {MOST}, for example 1,8")
    return sorted(found)


class Fleet:
    """On an etcd that nobody else uses meanwhile. As a context manager it ends what it has started. For one thread."""

    def __init__(self, name: str, etcd: str, directory: Path) -> None:
        self.name = name
        self.etcd = etcd
        self.urls: list[str] = []
        self._processes = Processes(directory.absolute())
        self._children: list[Child] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:  # all at once: each takes its time
            child.ask_to_stop()
        self._processes.close()

    def grow_to(self, size: int) -> None:
        """Starts what is missing; returns when all may cache. Raises TimeoutError, StartupError."""
        start, most = (self._start_ours, AT_ONCE) if self.name == OURS else (self._start_design, size)
        while (missing := size - len(self.urls)) > 0:
            ports = free_ports(min(missing, most))
            start(ports)
            if ended := [child for child in self._children if child.exit_status() is not None]:
                raise StartupError(f"{self.name} has ended:\n{ended[0].last_words(20)}")
            if taken := [port for port in ports if not any(listens(child.pid, port) for child in self._children)]:
                raise StartupError(f"others have taken the ports {taken}, which were free; start again")
            self.urls += map(at, ports)

    def counts(self) -> Counts:
        """What etcd has done so far, when nothing but idle work is under way."""
        return settled(self.etcd)

    def audits(self) -> float:
        """How often our instances have looked for writes from outside, by their own count (rule 13)."""
        looked = ("config_etcd_requests_total", 'kind="touched"', 'outcome="ok"')
        return sum(Metrics(url).total(*looked) for url in self.urls) if self.name == OURS else 0

    def loads(self, done: Counts, writes: int, audits: float) -> float:
        """How often a document was asked for, given what etcd did, and the writes and audits among it.

        Ours: two ranges a read transaction, and one for each document (rule 4). A write looks at three keys: at the
        document, at the policy (rule 15), and once more at the document, for its record (rule 19). An audit looks at
        three intervals.
        """
        match self.name:
            case "ours":
                return done.ranges - 2 * done.txns - writes - audits
            case "version-key":
                return done.txns - writes
            case _:
                return done.range_rpcs

    def _start_ours(self, ports: Sequence[int]) -> None:
        settings = {
            "HOST": "127.0.0.1", "ETCD_ENDPOINTS": self.etcd, "USER_KEY_PREFIX": self._prefix,
            "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        for port in ports:
            self._start([sys.executable, "-m", "service"], **settings, PORT=str(port))
        for port in ports:
            wait_for(partial(has_slot, at(port)), GROWN_WITHIN, f"{at(port)} has a slot")

    def _start_design(self, ports: Sequence[int]) -> None:
        self._start([sys.executable, "-m", "bench.scale.fleet", self.name, self.etcd, self._prefix, *map(str, ports)])
        for port in ports:
            wait_for(partial(_answers, at(port)), GROWN_WITHIN, f"{at(port)} answers")

    def _start(self, command: Sequence[str], **settings: str) -> None:
        self._children.append(self._processes.start(self.name, command, **settings))

    @property
    def _prefix(self) -> str:
        return f"/scale/{self.name}"


def _answers(url: str) -> bool:
    """A read of a document that is not there: 404 is an answer, too."""
    try:
        get(f"{url}{ROOT}nothing")
    except ValueError:
        return True
    except OSError:
        return False
    return True


# --- how the other designs serve


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, design: Design) -> None:
        self.design = design
        super().__init__(("127.0.0.1", port), _Requests)


class _Requests(BaseHTTPRequestHandler):
    """GET and PUT of a document."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is sent in one piece
    server: _Http

    def do_GET(self) -> None:
        document = self.server.design.read(self._key)
        self._answer(404 if document is None else 200, document or b"")

    def do_PUT(self) -> None:
        document = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.design.write(self._key, document)
        self._answer(200, document)

    @property
    def _key(self) -> str:
        return self.path.removeprefix(ROOT)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: object) -> None:
        """Nothing: the work is counted elsewhere."""


def serve(name: str, etcd: str, prefix: str, port: int) -> None:
    """One instance, until a signal ends it."""
    design = DESIGNS[name](Etcd(etcd, prefix))
    design.start()
    with _Http(port, design) as server:
        server.serve_forever()


def main(name: str, etcd: str, prefix: str, *ports: str) -> None:
    """Starts all and waits for a signal, or for the end of one."""
    fork = multiprocessing.get_context("fork")
    instances = [fork.Process(target=serve, args=(name, etcd, prefix, int(port)), daemon=True) for port in ports]
    for instance in instances:
        instance.start()
    signal.signal(signal.SIGTERM, _end)
    connection.wait([instance.sentinel for instance in instances])
    sys.exit("an instance has ended")


def _end(*_: object) -> None:
    """Ends the instances, too, which are daemons: a second signal must not come between."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
