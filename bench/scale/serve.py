"""Serves a design: `python -m bench.scale.serve NAME --etcd URL --prefix P --ports 8081 8082 …`.

One process for each port, forked from one that has imported everything: 64 of them start in seconds. Connections to
etcd are made after the fork. They end with the process that was started, and it ends when one of them does.

The HTTP of the standard library is enough: what is counted is what etcd does, however quickly it is asked.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import connection

from bench.scale.designs import Design, NoCache, PrefixWatch, TtlCache, VersionKey
from bench.scale.etcd import Etcd

DESIGNS: dict[str, Callable[[Etcd], Design]] = {
    "no-cache": NoCache,
    "prefix-watch": PrefixWatch,
    "version-key": VersionKey,
    "ttl-cache": TtlCache,
}

ROOT = "/config/"


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


def main() -> None:
    """Starts all and waits for a signal, or for the end of one."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale.serve")
    parser.add_argument("name", choices=DESIGNS)
    parser.add_argument("--etcd", required=True, help="endpoint")
    parser.add_argument("--prefix", required=True, help="where in etcd the documents are")
    parser.add_argument("--ports", type=int, nargs="+", required=True)
    given = parser.parse_args()
    fork = multiprocessing.get_context("fork")
    instances = [
        fork.Process(target=serve, args=(given.name, given.etcd, given.prefix, port), daemon=True)
        for port in given.ports
    ]
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
    main()
