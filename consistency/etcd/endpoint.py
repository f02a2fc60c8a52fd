"""One endpoint of etcd: its connections, its RPCs, and what their failures mean.

Owns the options of connections and the translation of gRPC's errors. Makes no connection before the first call, so that
it can be built before a fork.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.store import OutcomeUnknown, Unavailable
from consistency.etcd.calls import Call
from consistency.etcd.config import Endpoint, EtcdConfig
from consistency.etcd.errors import Diagnosis, Failed, diagnose
from consistency.etcd.health import BACKOFF
from consistency.tasks import is_to_end

MAX_ANSWER = 16 * 1024 * 1024
"""Most bytes of one answer."""

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

_WITH_LEADER = ("hasleader", "true")  # a member cut off from the others says so at once, instead of falling silent


Connect = Callable[[Endpoint, EtcdConfig], Any]
"""Makes a channel to an endpoint, as `grpc.aio` does."""


def connect(endpoint: Endpoint, config: EtcdConfig) -> Any:
    """Return a channel of gRPC; it connects at its first call, and anew whenever it has to."""
    if not endpoint.tls:
        return grpc.aio.insecure_channel(endpoint.target, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(config.ca_cert, config.key, config.cert)
    return grpc.aio.secure_channel(endpoint.target, credentials, _OPTIONS)


class EtcdNode:
    """One endpoint: its two channels, made at the first call, on the loop that makes it.

    The second channel is for the streams: a watch that shares a connection with heavy reads starves (etcd #15402).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: EtcdConfig,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = endpoint.url
        self._endpoint = endpoint
        self._config = config
        self._connect = connect
        self._clock = clock
        self._channels: tuple[Any, ...] = ()
        self._methods: dict[str, Callable[..., Any]] = {}
        self._closed = False

    async def rpc(self, call: Call, timeout: float, token: str, *, leader: bool = True) -> Any:
        """See calls.Node. Without `leader` a member answers even if it knows none."""
        started = self._clock()
        method, metadata = self._method(call.method), metadata_for(token, leader=leader)
        try:
            return await method(call.request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise Failed(diagnose_rpc(error, self._clock() - started)) from error
        except grpc.aio.UsageError as error:  # how gRPC says that a channel is closed
            raise Failed(_CLOSED) from error
        except asyncio.CancelledError as error:
            if is_to_end():
                raise
            raise Failed(_CUT_OFF if call.write else _CLOSED) from error

    def stream(self, method: str, **arguments: Any) -> Any:
        """Begin a streaming RPC. Raises Failed once closed."""
        return self._method(method)(**arguments)

    async def close(self) -> None:
        """End the calls under way; later ones fail. Lets go of the channels: gRPC's thread lives as long as they."""
        self._closed = True
        channels, self._channels, self._methods = self._channels, (), {}
        for channel in channels:
            await channel.close()

    def _method(self, name: str) -> Callable[..., Any]:
        if self._closed:
            raise Failed(_CLOSED)
        if not self._methods:
            data, streams = self._channels = tuple(self._connect(self._endpoint, self._config) for _ in range(2))
            self._methods = _methods(data, streams)
        return self._methods[name]


_CLOSED = Diagnosis(Unavailable, "the store is closed", connected=False)
_CUT_OFF = Diagnosis(OutcomeUnknown, "the store was closed meanwhile")


def _methods(data: Any, streams: Any) -> dict[str, Callable[..., Any]]:
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


def metadata_for(token: str, *, leader: bool = True) -> tuple[tuple[str, str], ...]:
    """What goes along with a call. `token`: of the user; "" without one. `leader`: whether it demands one."""
    demand = (_WITH_LEADER,) if leader else ()
    return (*demand, ("token", token)) if token else demand


def diagnose_rpc(error: Any, seconds: float) -> Diagnosis:
    """What a grpc.RpcError means that came after so many seconds."""
    return diagnose(error.code().name, error.details() or "", seconds)
