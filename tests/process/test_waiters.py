"""However many wait for changes: the instance is reached by probes, and by who only wants to read."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from service.memory.capacity import capacity
from service.settings.model import Settings
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

LIMIT = 118 * 1024**2
"""Bytes: the least that an instance starts with, so that there are few connections."""

_REQUEST = b"GET /changes HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def test_they_never_take_all_connections(etcd: EtcdServer, prefix: str, tmp_path: Path) -> None:
    room = capacity(LIMIT, Settings(), embedded=False)
    assert room.waiters < room.connections < Settings().max_waiters
    with (
        InstanceProcess(tmp_path, **etcd.settings(prefix), MEMORY_LIMIT=str(LIMIT)) as instance,
        ExitStack() as stack,
    ):
        for _ in range(room.waiters):
            assert _status(stack, instance) == 200
        for _ in range(10):
            assert _status(stack, instance) == 429
        for path in ("/healthz", "/readyz"):
            assert instance.answers(200, path)


def _status(stack: ExitStack, instance: InstanceProcess) -> int:
    """Of one more stream, which stays open. On a busy machine a proof may be late (503): then of the next."""
    for _ in range(50):
        client = stack.enter_context(socket.create_connection(("127.0.0.1", instance.port), 10.0))
        client.sendall(_REQUEST)
        if (status := int(client.recv(4096).split()[1])) != 503:
            return status
        client.close()
    raise AssertionError("nothing could be proven")
