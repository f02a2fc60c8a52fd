"""Serves a design: `python -m bench.peers.designs.serve NAME --etcd URL --prefix P --ports 8081 8082 …`.

One process for each port, forked from one that has imported everything: 64 of them start in seconds. Connections to
etcd are made after the fork. They end with the process that was started, and it ends when one of them does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import signal
import sys
from collections.abc import Callable
from multiprocessing import connection

from bench.peers.designs.etcd import Etcd
from bench.peers.designs.no_cache import NoCache
from bench.peers.designs.prefix_watch import PrefixWatch
from bench.peers.designs.ttl_cache import TtlCache
from bench.peers.designs.version_key import VersionKey
from bench.peers.designs.wsgi import Design, application
from service.http.server import Server
from service.memory.capacity import MOST_CONNECTIONS
from service.process.listener import listen

DESIGNS: dict[str, Callable[[Etcd], Design]] = {
    "no-cache": NoCache,
    "prefix-watch": PrefixWatch,
    "version-key": VersionKey,
    "ttl-cache": TtlCache,
}

THREADS = 4
"""For one instance; the service gets as many when it is counted beside them."""


def serve(name: str, etcd: str, prefix: str, port: int) -> None:
    """One instance, until a signal ends it."""
    design = DESIGNS[name](Etcd(etcd, prefix))
    design.start()
    with listen("127.0.0.1", port) as listener:
        Server(
            listener,
            threads=THREADS,
            connections=MOST_CONNECTIONS,
            drain_wait=0,
            on_stop=lambda: None,
            stop_asked=lambda: False,
        ).run(application(design))


def main() -> None:
    """Starts all and waits for a signal, or for the end of one."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.designs.serve")
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
