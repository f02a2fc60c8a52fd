"""A real gRPC server that is no etcd, or a proxy in front of one: it answers what it refuses with one status.

Owns one listening port. What it does not refuse it passes on, if there is an etcd behind it; else it refuses all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc  # type: ignore[import-untyped]

_STREAMS = ("Watch", "LeaseKeepAlive")


class Stranger:
    """`code` and `details` are what it answers with; `asked` are the methods that it was asked for.

    behind: host:port of an etcd. refuses: the methods that are not passed on ("Txn"). after_passing_on: it refuses only
    once the etcd behind it has answered.
    """

    def __init__(self, behind: str = "", refuses: Collection[str] = (), *, after_passing_on: bool = False) -> None:
        self.code = grpc.StatusCode.UNIMPLEMENTED
        self.details = ""
        self.refuses = frozenset(refuses)
        self.after_passing_on = after_passing_on
        self.asked: list[str] = []
        self._channel = grpc.insecure_channel(behind) if behind else None
        self._server = grpc.server(ThreadPoolExecutor(8), handlers=[_Handlers(self._handler)])
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> str:
        """Where a client finds it."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every call."""
        self._server.stop(0).wait(5)
        if self._channel:
            self._channel.close()

    def will_say(self, code: str, details: str) -> None:
        """From now on."""
        self.code, self.details = grpc.StatusCode[code], details
        self.asked.clear()

    def _handler(self, method: str) -> Any:
        name = method.rpartition("/")[2]
        if name in _STREAMS:
            return grpc.stream_stream_rpc_method_handler(lambda requests, call: self._stream(method, requests, call))
        return grpc.unary_unary_rpc_method_handler(lambda request, call: self._one(method, request, call))

    def _one(self, method: str, request: bytes, call: Any) -> bytes:
        if not self._passes_on(method):
            return self._refuse(call)
        assert self._channel is not None
        try:
            answer = self._channel.unary_unary(method)(request, timeout=5, metadata=_metadata(call))
        except grpc.RpcError as error:
            call.abort(error.code(), error.details())
        return self._refuse(call) if self._refuses(method) else bytes(answer)

    def _stream(self, method: str, requests: Iterator[bytes], call: Any) -> Iterator[bytes]:
        if not self._passes_on(method):
            yield self._refuse(call)
            return
        assert self._channel is not None
        passed_on = self._channel.stream_stream(method)(requests, metadata=_metadata(call))
        call.add_callback(passed_on.cancel)
        try:
            yield from passed_on
        except grpc.RpcError as error:
            call.abort(error.code(), error.details())

    def _passes_on(self, method: str) -> bool:
        self.asked.append(method.rpartition("/")[2])
        return self._channel is not None and (self.after_passing_on or not self._refuses(method))

    def _refuses(self, method: str) -> bool:
        return method.rpartition("/")[2] in self.refuses

    def _refuse(self, call: Any) -> bytes:
        """With OK, an answer without anything in it."""
        if self.code is not grpc.StatusCode.OK:
            call.abort(self.code, self.details)
        return b""


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio comes without types
    """Every method of every service."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def service(self, call: Any) -> Any:
        """The handler of one method."""
        return self._handler(call.method)


def _metadata(call: Any) -> tuple[tuple[str, str], ...]:
    return tuple((each.key, each.value) for each in call.invocation_metadata() if each.key in ("token", "hasleader"))
