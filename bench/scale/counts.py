"""What etcd has done, by its own count; what one part of the work has cost; and the file that keeps it all.

Owns the names of etcd's metrics. Bytes are those of the messages, without the framing of HTTP/2. A stream is one RPC
however long it lives; what a watch sends is counted by messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from bench.processes import Metrics

SETTLED_WITHIN = 5.0
"""Seconds in which two looks should agree that nothing is under way. A fleet of 64 proves 128 times a second."""

_STARTED, _HANDLED = "grpc_server_started_total", "grpc_server_handled_total"
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
    def of(cls, etcd: Metrics) -> Self:
        """What a look has seen."""
        return cls(
            rpcs=etcd.total(_STARTED),
            txns=etcd.total(_STARTED, _UNARY[0]),
            range_rpcs=etcd.total(_STARTED, _UNARY[1]),
            watched=etcd.total("grpc_server_msg_sent_total", 'grpc_service="etcdserverpb.Watch"'),
            ranges=etcd.total("etcd_debugging_mvcc_range_total"),
            sent=etcd.total("etcd_network_client_grpc_sent_bytes_total"),
            received=etcd.total("etcd_network_client_grpc_received_bytes_total"),
        )


def settled(endpoint: str) -> Counts:
    """What etcd has done so far: once two looks agree, or as the last one saw it when the deadline has passed."""
    until = time.monotonic() + SETTLED_WITHIN
    before = Counts.of(Metrics(endpoint))
    while True:
        look = Metrics(endpoint)
        counts = Counts.of(look)
        if (_quiet(look) and counts == before) or time.monotonic() > until:
            return counts
        before = counts


def _quiet(etcd: Metrics) -> bool:
    """Whether all that has been asked has been answered."""
    return all(etcd.total(_STARTED, method) == etcd.total(_HANDLED, method) for method in _UNARY)


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


@dataclass(frozen=True, slots=True)
class Results:
    """designs: by design and number of instances, the parts by name. amount: as Amount."""

    designs: Mapping[str, Mapping[int, Mapping[str, Part]]]
    amount: Mapping[str, Any]

    def save(self, file: Path, machine: Mapping[str, Any]) -> None:
        """Everything, and where it was counted."""
        file.write_text(json.dumps({"machine": machine, **asdict(self)}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Results:
        """Raises OSError, ValueError, KeyError or TypeError when that is no result."""
        content = json.loads(file.read_text(encoding="utf-8"))
        designs = {
            name: {int(size): {what: _part(part) for what, part in parts.items()} for size, parts in sizes.items()}
            for name, sizes in content["designs"].items()
        }
        return cls(designs, content["amount"])

    @property
    def sizes(self) -> list[int]:
        """Numbers of instances."""
        return sorted({size for sizes in self.designs.values() for size in sizes})

    @property
    def steps_at(self) -> int:
        """The number of instances at which keys, rates and sizes were varied."""
        some = next(iter(self.designs.values()))
        return next(size for size, parts in some.items() if any(" " in what for what in parts))

    def steps(self, name: str, what: str) -> Iterator[tuple[float, Part, Part]]:
        """Of one design, what was varied: its value, the part, and the idle part at as many instances."""
        for parts in self.designs[name].values():
            for each, part in parts.items():
                kind, _, value = each.partition(" ")
                if kind == what and value:
                    yield float(value), part, parts["idle"]


def _part(content: Mapping[str, Any]) -> Part:
    return Part(**{**content, "counts": Counts(**content["counts"])})
