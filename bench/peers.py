"""The least that could answer instead of us: a bare RSGI callable, a Flask route that returns a constant, a bare watch.

`python -m bench.peers bare PORT` serves the callable, on the server and the event loop that RSGI is quickest on. The
route is served by Granian's own command line, as its users serve it (`flask_route`). Both answer with what they find
in BENCH_ANSWER, which is a hit of the service: the same bytes go over the wire.

`python -m bench.peers watch ENDPOINT PUTS` prints one delay a line, in ms: from the moment a put was answered, as it is
measured for the fleet, until a watch has shown it; 0 where the event was there first. Put and watch are in one process,
on a connection each, so that one clock tells.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

import grpc  # type: ignore[import-untyped]
import uvloop
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from flask import Flask
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from bench.documents import PEER_PREFIX, document

CONNECTIONS = 2_000
"""More than any row has: beyond, Granian accepts nobody."""

WATCHED = f"{PEER_PREFIX}/watched".encode()
EVENT_WITHIN = 5.0
"""Seconds for one event."""

_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))

_ADDED_BY_SERVER = {"content-length", "server", "date", "connection"}


def environment(body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
    """What tells a peer its answer."""
    said = [(name, value) for name, value in headers.items() if name not in _ADDED_BY_SERVER]
    return {"BENCH_ANSWER": json.dumps({"body": body.decode(), "headers": said})}


def flask_command(port: int) -> Sequence[str]:
    """Granian with WSGI, one worker with as many threads as 64 connections make use of."""
    options = ["--interface", "wsgi", "--port", str(port), "--blocking-threads", "32", "--log-level", "error"]
    return [sys.executable, "-m", "granian", *options, "--factory", "bench.peers:flask_route"]


def _answer() -> tuple[bytes, list[tuple[str, str]]]:
    answer = json.loads(os.environ["BENCH_ANSWER"])
    return answer["body"].encode(), [(name, value) for name, value in answer["headers"]]


def flask_route() -> Flask:
    """An application with one route, which returns the answer whatever the key."""
    body, headers = _answer()
    application = Flask(__name__, static_folder=None)

    @application.get("/config/<path:_key>")
    def constant(_key: str) -> tuple[bytes, list[tuple[str, str]]]:
        return body, headers

    return application


async def serve(port: int) -> None:
    """Serves the bare callable until SIGTERM or SIGINT."""
    body, headers = _answer()

    async def bare(_scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, headers, body)

    server = Server(
        bare,
        "127.0.0.1",
        port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        log_level=LogLevels.error,
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, server.stop)
    await server.serve()


def watch_delays(endpoint: str, puts: int) -> Iterator[float]:
    """One put after the other; milliseconds. Raises queue.Empty when an event does not come."""
    address = endpoint.removeprefix("http://")
    with (
        grpc.insecure_channel(address, _OWN_CONNECTION) as watching,
        grpc.insecure_channel(address, _OWN_CONNECTION) as putting,
    ):
        request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=WATCHED))
        stream = pb.WatchStub(watching).Watch(iter([request]))
        next(stream)  # the confirmation
        seen: SimpleQueue[tuple[int, float]] = SimpleQueue()
        Thread(target=_follow, args=(stream, seen), daemon=True).start()
        put = pb.KVStub(putting).Put
        for _ in range(puts):
            revision = put(pb.PutRequest(key=WATCHED, value=document(0)), timeout=EVENT_WITHIN).header.revision
            answered = time.perf_counter()
            event, at = seen.get(timeout=EVENT_WITHIN)
            assert event == revision, "one put, one event"
            yield max(0.0, at - answered) * 1e3
        stream.cancel()


def _follow(stream: Any, seen: SimpleQueue[tuple[int, float]]) -> None:
    try:
        for answer in stream:
            for event in answer.events:
                seen.put((event.kv.mod_revision, time.perf_counter()))
    except grpc.RpcError:
        return  # canceled at the end; before it, the waiter for an event will say so


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bare", port]:
            uvloop.run(serve(int(port)))
        case ["watch", endpoint, puts]:
            sys.stdout.writelines(f"{delay}\n" for delay in watch_delays(endpoint, int(puts)))
        case _:
            sys.exit("expected: bare PORT, or watch ENDPOINT PUTS")
