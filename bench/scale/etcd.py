"""etcd as the designs need it: documents beneath a prefix, by key. Owns one connection; the first call makes it.

Much less than the service's own store: one endpoint, no failover, and errors are gRPC's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.etcd.layout import Layout

TIMEOUT = 3.0
"""Seconds for one call."""

MAX_ANSWER = 64 * 1024 * 1024
"""Most bytes of one answer: a design may ask for everything at once."""

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER),
)


class Held(NamedTuple):
    """A document as it was seen: None when there was none, and its `mod_revision`, then 0."""

    value: bytes | None
    mod_revision: int


class Etcd:
    """Safe for concurrent access. To be made in the process that uses it: connections don't survive a fork."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.layout = Layout(prefix)
        channel = grpc.insecure_channel(endpoint.removeprefix("http://"), _OPTIONS)
        self.kv, self.watches = pb.KVStub(channel), pb.WatchStub(channel)

    def get(self, key: str) -> Held:
        """A linearizable read. Raises grpc.RpcError."""
        return held(self.kv.Range(pb.RangeRequest(key=self.layout.document(key)), timeout=TIMEOUT))

    def put(self, key: str, value: bytes) -> None:
        """Returns when it is committed. Raises grpc.RpcError."""
        self.kv.Put(pb.PutRequest(key=self.layout.document(key), value=value), timeout=TIMEOUT)


def held(answer: Any) -> Held:
    """What the answer to a range of one key says."""
    return Held(answer.kvs[0].value, answer.kvs[0].mod_revision) if answer.kvs else Held(None, 0)
