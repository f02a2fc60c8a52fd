"""A watch on the whole prefix: everything is read at the start, and etcd pushes every change into every instance.

Guarantees that instances agree in the end, as long as their watches live. There is no bound: an instance whose watch
stalls (a cut-off member, a half-open connection) goes on serving what it has, silently. Costs nothing while nothing
changes and nothing for a read; one message with the value per write and instance, whether the instance's clients read
that key or not; and memory for all keys in every instance.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from bench.peers.designs.etcd import TIMEOUT, Etcd
from consistency.etcd.layout import range_end

PAUSE = 0.5
"""Seconds between the end of a watch and the next attempt."""


class PrefixWatch:
    """See bench.peers.designs.wsgi.Design."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._range = {"key": etcd.layout.documents, "range_end": range_end(etcd.layout.documents)}
        self._documents: dict[str, bytes] = {}

    def start(self) -> None:
        """Returns when everything has been read and is being watched."""
        stream = self._open()
        threading.Thread(target=self._follow, args=(stream,), daemon=True).start()

    def read(self, key: str) -> bytes | None:
        """Always from memory."""
        return self._documents.get(key)

    def write(self, key: str, value: bytes) -> None:
        """One put; it reaches this instance's memory by the watch, as everybody's."""
        self._etcd.put(key, value)

    def _open(self) -> Any:
        """Reads everything, and watches from the next revision on: nothing is missed in between."""
        found = self._etcd.kv.Range(pb.RangeRequest(**self._range), timeout=TIMEOUT)
        self._documents = {self._etcd.layout.key_of(kv.key): kv.value for kv in found.kvs}
        asked = pb.WatchCreateRequest(**self._range, start_revision=found.header.revision + 1)
        stream = self._etcd.watches.Watch(iter([pb.WatchRequest(create_request=asked)]))
        next(stream)  # the confirmation
        return stream

    def _follow(self, stream: Any) -> None:
        while True:
            try:
                for answer in stream:
                    self._apply(answer.events)
                stream = self._open()
            except grpc.RpcError:
                time.sleep(PAUSE)
                stream = iter(())

    def _apply(self, events: Any) -> None:
        for event in events:
            key = self._etcd.layout.key_of(event.kv.key)
            if event.type == event.DELETE:
                self._documents.pop(key, None)
            else:
                self._documents[key] = event.kv.value
