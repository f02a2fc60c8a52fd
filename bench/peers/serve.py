"""Serves a peer as the service serves itself: `python -m bench.peers.serve NAME --port PORT …`.

The same server class with the same settings and number of threads: what differs is the application.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from service.http.server import Server
from service.memory.capacity import MOST_CONNECTIONS
from service.process.listener import listen
from service.process.one_cpu import OneCpu
from service.settings.model import Settings


def _bare(_given: argparse.Namespace) -> Callable[..., Any]:
    from bench.peers.bare_wsgi import application

    return application


def _bare_with_one_header(_given: argparse.Namespace) -> Callable[..., Any]:
    from bench.peers.bare_wsgi import with_one_header

    return with_one_header


def _flask(_given: argparse.Namespace) -> Callable[..., Any]:
    from bench.peers.plain_flask import application

    return application


def _redis(given: argparse.Namespace) -> Callable[..., Any]:
    from bench.peers import flask_redis

    return flask_redis.make(given.redis, given.etcd, given.prefix, tracking=given.tracking)


PEERS = {"bare": _bare, "bare-with-one-header": _bare_with_one_header, "flask": _flask, "redis": _redis}


def main() -> None:
    """Serves until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.serve")
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--redis", type=int, help="port of Redis")
    parser.add_argument("--tracking", action="store_true", help="let redis-py cache on its side, too")
    parser.add_argument("--etcd", help="endpoint")
    parser.add_argument("--prefix", help="where in etcd the documents are")
    given = parser.parse_args()
    application = PEERS[given.name](given)
    cpu = OneCpu(Settings().threads_on_one_cpu, lambda _: None)
    with listen("127.0.0.1", given.port) as listener, cpu:
        Server(
            listener,
            threads=Settings().threads,
            connections=MOST_CONNECTIONS,
            drain_wait=0,
            on_stop=lambda: None,
            stop_asked=lambda: False,
        ).run(cpu.wrap(application))


if __name__ == "__main__":
    main()
