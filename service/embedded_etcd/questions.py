"""What an etcd on this machine is asked over plain HTTP: whether it is well, and whether it is open to web pages.

No gRPC is loaded for it. Each question is one connection, has a deadline, and reads no more than LONGEST.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from http import HTTPStatus
from typing import Any

LONGEST = 512 * 1024
"""Bytes of an answer that are read: metrics are some 100 KiB, all else is short."""

_MEMBER = re.compile(rb'^etcd_server_id\{server_id="([0-9a-f]{1,16})"\} 1$', re.MULTILINE)


async def ask_version(address: str, timeout: float = 1.0, *, name: str = "") -> str | None:
    """Return the version of the healthy etcd that listens at host:port, or None. Takes `timeout` seconds at most.

    name: that it must go by, and it must not go by any. Without one, whichever etcd is there says its version.
    """
    try:
        async with asyncio.timeout(timeout):
            version = await _version(address, name)
            return None if name and await _answers_to(address, f"not-{name}") else version
    except (OSError, ValueError, LookupError, TypeError):
        return None  # nobody there, not yet, no etcd, or one that goes by other names


async def ask_member(address: str, timeout: float = 1.0, *, name: str) -> int:
    """Return the id of the member that listens there and goes by this name, which its data keeps; 0 if none says it."""
    try:
        async with asyncio.timeout(timeout):
            _, metrics = await _ask(address, "GET", "/metrics", name=name)
    except (OSError, ValueError):
        return 0
    found = _MEMBER.search(metrics)
    return int(found[1], 16) if found else 0


async def takes_writes_over_http(address: str, timeout: float = 1.0) -> bool:
    """Return whether the etcd at host:port serves its gateway, by which any web page may write. Raises OSError.

    Asked for is its status, which changes nothing; without a gateway there is no such path.
    """
    async with asyncio.timeout(timeout):
        status, _ = await _ask(address, "POST", "/v3/maintenance/status", b"{}")
    return status != HTTPStatus.NOT_FOUND


async def _version(address: str, name: str) -> str | None:
    if (await _get(address, "/health", name))["health"] != "true":
        return None
    return str((await _get(address, "/version", name))["etcdserver"])


async def _answers_to(address: str, name: str) -> bool:
    status, _ = await _ask(address, "GET", "/version", name=name)
    return status != HTTPStatus.MISDIRECTED_REQUEST


async def _get(address: str, path: str, name: str) -> Any:
    _, body = await _ask(address, "GET", path, name=name)
    return json.loads(body)


async def _ask(address: str, method: str, path: str, body: bytes = b"", name: str = "") -> tuple[int, bytes]:
    """Status and body. Raises OSError, and ValueError for what is no HTTP."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        # By this version the answer ends with the connection, in one piece.
        writer.write(
            f"{method} {path} HTTP/1.0\r\nHost: {name or address}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        answer = await _all(reader)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    head, found, content = answer.partition(b"\r\n\r\n")
    protocol, status, *_ = head.split(maxsplit=2) if found else (b"", b"")
    if not protocol.startswith(b"HTTP/"):
        raise ValueError("this is no HTTP")
    return int(status), content


async def _all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readexactly(LONGEST)
    except asyncio.IncompleteReadError as end:
        return end.partial
