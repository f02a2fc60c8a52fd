"""The connections to one endpoint of etcd. Owns their options, and the RPCs that are made over them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.store import OutcomeUnknown
from consistency.etcd.config import Endpoint, EtcdConfig
from consistency.etcd.errors import Diagnosis, Failed

MAX_ANSWER = 16 * 1024 * 1024
"""Most bytes of one answer."""

BACKOFF = 0.5
"""Seconds at most between two attempts to connect to an endpoint that refuses: so old may a refusal be."""

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # or the two channels of an endpoint would share a connection
    ("grpc.enable_retries", 0),  # a write must not be sent twice
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_ANSWER),
    ("grpc.keepalive_time_ms", 6_000),  # less than 5 s makes etcd hang up: too_many_pings
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.ping_timeout_ms", 2_000),  # without it a paused peer is found after 60 s only
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 2_000),  # also the time that one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", int(1000 * BACKOFF)),
)

Connect = Callable[[Endpoint, EtcdConfig], Any]
"""Makes a channel to an endpoint, as `grpc.aio` does."""


def connect(endpoint: Endpoint, config: EtcdConfig) -> Any:
    """Return a channel of gRPC; it connects at its first call, and anew whenever it has to."""
    if not endpoint.tls:
        return grpc.aio.insecure_channel(endpoint.target, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(config.ca_cert, config.key, config.cert)
    return grpc.aio.secure_channel(endpoint.target, credentials, _OPTIONS)


def methods(data: Any, streams: Any) -> dict[str, Callable[..., Any]]:
    """Return the RPCs by their names, over a channel for data and one for streams."""
    kv, lease = pb.KVStub(data), pb.LeaseStub(data)
    return {
        "range": kv.Range,
        "txn": kv.Txn,
        "grant": lease.LeaseGrant,
        "revoke": lease.LeaseRevoke,
        "time_to_live": lease.LeaseTimeToLive,
        "status": pb.MaintenanceStub(data).Status,
        "member_list": pb.ClusterStub(data).MemberList,
        "alarm": pb.MaintenanceStub(data).Alarm,
        "authenticate": pb.AuthStub(data).Authenticate,
        "user": pb.AuthStub(data).UserGet,
        "keep_alive": _first_answer(pb.LeaseStub(streams).LeaseKeepAlive),
        "watch": pb.WatchStub(streams).Watch,
    }


def _first_answer(method: Callable[..., Any]) -> Callable[..., Any]:
    """A streaming RPC as a plain one: one request, one answer, one deadline. Its sending half stays open until then."""

    async def call(request: Any, *, timeout: float, metadata: Any) -> Any:
        stream = method(timeout=timeout, metadata=metadata)
        try:
            with contextlib.suppress(asyncio.InvalidStateError):  # it has ended already: reading tells why
                await stream.write(request)
            answer = await stream.read()
            if answer is grpc.aio.EOF:
                raise Failed(Diagnosis(OutcomeUnknown, "the stream ended without an answer"))
            return answer
        finally:
            stream.cancel()

    return call
