"""What etcd has done, by its own count, and what one part of the work has cost. Owns the names of etcd's metrics.

Bytes are those of the messages, without the framing of HTTP/2. A stream is one RPC however long it lives; what a watch
sends is counted by messages.
"""

from __future__ import annotations

import time
import urllib.request
from dataclasses import dataclass, fields
from typing import Self

SETTLED_WITHIN = 5.0
"""Seconds in which two looks should agree that nothing is under way. A fleet of 64 proves 128 times a second."""

_SENT, _RECEIVED = "etcd_network_client_grpc_sent_bytes_total", "etcd_network_client_grpc_received_bytes_total"
_STARTED, _HANDLED = "grpc_server_started_total", "grpc_server_handled_total"
_MESSAGES, _RANGES = "grpc_server_msg_sent_total", "etcd_debugging_mvcc_range_total"
_NAMES = (_SENT, _RECEIVED, _STARTED, _HANDLED, _MESSAGES, _RANGES)
_UNARY = ('grpc_method="Txn"', 'grpc_method="Range"', 'grpc_method="Put"')


@dataclass(frozen=True, slots=True)
class Counts:
    """rpcs: all of them. txns, range_rpcs: those. watched: messages of watches. ranges: keys or intervals looked up,
    in transactions or not. sent, received: bytes."""

    rpcs: float = 0
    txns: float = 0
    range_rpcs: float = 0
    watched: float = 0
    ranges: float = 0
    sent: float = 0
    received: float = 0

    def __sub__(self, earlier: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)))

    def scaled(self, factor: float) -> Counts:
        """Each of them times `factor`."""
        return Counts(*(getattr(self, f.name) * factor for f in fields(self)))

    @property
    def bytes(self) -> float:
        """Both ways."""
        return self.sent + self.received

    @property
    def operations(self) -> float:
        """What etcd has to do something for: RPCs and messages of watches."""
        return self.rpcs + self.watched

    @classmethod
    def of(cls, look: _Look) -> Self:
        """What a look has seen."""
        return cls(
            rpcs=look.total(_STARTED),
            txns=look.total(_STARTED, _UNARY[0]),
            range_rpcs=look.total(_STARTED, _UNARY[1]),
            watched=look.total(_MESSAGES, 'grpc_service="etcdserverpb.Watch"'),
            ranges=look.total(_RANGES),
            sent=look.total(_SENT),
            received=look.total(_RECEIVED),
        )


class _Look:
    """One scrape. It is not atomic: what is under way may be counted in part."""

    def __init__(self, endpoint: str) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{endpoint}/metrics", timeout=10.0) as answer:
            lines = answer.read().decode().splitlines()
        self._samples = [line.rpartition(" ") for line in lines if line.startswith(_NAMES)]

    def total(self, name: str, label: str = "") -> float:
        """The sum of the samples of that name which bear the label."""
        chosen = (value for sample, _, value in self._samples if sample.split("{")[0] == name and label in sample)
        return sum(map(float, chosen))

    @property
    def quiet(self) -> bool:
        """Whether all that has been asked has been answered."""
        return all(self.total(_STARTED, method) == self.total(_HANDLED, method) for method in _UNARY)


def settled(endpoint: str) -> Counts:
    """What etcd has done so far: once two looks agree, or as the last one saw it when the deadline has passed."""
    until = time.monotonic() + SETTLED_WITHIN
    before = _Look(endpoint)
    while True:
        look = _Look(endpoint)
        if (look.quiet and Counts.of(look) == Counts.of(before)) or time.monotonic() > until:
            return Counts.of(look)
        before = look


@dataclass(frozen=True, slots=True)
class Part:
    """What etcd did in `seconds`, in which clients made `reads` and `writes`; how often a document was asked for."""

    counts: Counts
    seconds: float
    reads: int
    writes: int
    loads: float

    def beyond(self, idle: Part) -> Counts:
        """Without what the fleet would have cost in that time anyway."""
        return self.counts - idle.per_second.scaled(self.seconds)

    @property
    def per_second(self) -> Counts:
        """On average."""
        return self.counts.scaled(1 / self.seconds)
