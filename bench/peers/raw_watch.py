"""How long a bare watch of etcd takes to show a put: `python -m bench.peers.raw_watch ENDPOINT SECONDS`.

Put and watch are in one process, on a connection each, so that one clock tells. Prints one delay a line, in ms, counted
from the moment the put was answered, as for the fleet; 0 where the event was there first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from bench.documents import PEER_PREFIX, document

KEY = f"{PEER_PREFIX}/watched".encode()
WITHIN = 5.0
"""Seconds for one event."""

_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


def delays(endpoint: str, seconds: float) -> Iterator[float]:
    """One put after the other, for that long; milliseconds. Raises queue.Empty when an event does not come."""
    address = endpoint.removeprefix("http://")
    with (
        grpc.insecure_channel(address, _OWN_CONNECTION) as watching,
        grpc.insecure_channel(address, _OWN_CONNECTION) as putting,
    ):
        request = pb.WatchRequest(create_request=pb.WatchCreateRequest(key=KEY))
        stream = pb.WatchStub(watching).Watch(iter([request]))
        next(stream)  # the confirmation
        seen: SimpleQueue[tuple[int, float]] = SimpleQueue()
        Thread(target=_follow, args=(stream, seen), daemon=True).start()
        put, until = pb.KVStub(putting).Put, time.monotonic() + seconds
        while time.monotonic() < until:
            revision = put(pb.PutRequest(key=KEY, value=document(0)), timeout=WITHIN).header.revision
            answered = time.perf_counter()
            event, at = seen.get(timeout=WITHIN)
            assert event == revision, "one put, one event"
            yield max(0.0, at - answered) * 1e3
        stream.cancel()


def _follow(stream: Any, seen: SimpleQueue[tuple[int, float]]) -> None:
    try:
        for answer in stream:
            for event in answer.events:
                seen.put((event.kv.mod_revision, time.perf_counter()))
    except grpc.RpcError:
        return  # canceled at the end; before it, whoever waits for an event will say so


if __name__ == "__main__":
    sys.stdout.writelines(f"{delay}\n" for delay in delays(sys.argv[1], float(sys.argv[2])))
