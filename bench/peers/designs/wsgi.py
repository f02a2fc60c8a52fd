"""The two requests that every design serves: GET and PUT of a document. The rest of HTTP is not the point here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

ROOT = "/config/"
_JSON = [("Content-Type", "application/json")]


class Design(Protocol):
    """A cache, or none. `read` and `write` may be called by several threads; both raise grpc.RpcError."""

    def start(self) -> None:
        """Called once, before the first request; returns when requests can be served."""

    def read(self, key: str) -> bytes | None:
        """The document, None when there is none."""

    def write(self, key: str, value: bytes) -> None:
        """Returns when etcd has committed it."""


def application(design: Design) -> Callable[..., Any]:
    """The WSGI application of one instance."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(ROOT)
        body: bytes | None
        if method == "PUT":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            design.write(key, body)
        else:
            body = design.read(key)
        start_response("404 NOT FOUND" if body is None else "200 OK", _JSON)
        return [body or b""]

    return serve
