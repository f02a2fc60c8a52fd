"""How much work is done, and what was counted, read back and shown as Markdown. Pure but for the file it reads.

A cell says RPCs, messages of watches where there are any (+), and the kB of both, sent and received by etcd. Reads and
writes are charged with what they cost beyond what the fleet costs while idle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scale.counts import Counts, Part

TITLES = {
    "ours": "this service",
    "no-cache": "no cache",
    "prefix-watch": "watch on everything",
    "version-key": "version key without names",
    "ttl-cache": "TTL of 1 s",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """keys: documents that every instance has read. size: bytes of a document. idle: seconds.

    reads: of those documents, in all, however many instances; `rate` a second, or slower. writes: of one key that all
    instances read, and as many of keys that nobody reads. few: writes of a step.
    streams: clients of each instance that follow changes.
    key_steps, rate_steps (writes a second), size_steps: what is varied at STEPS_AT instances.
    """

    keys: int = 50
    size: int = 1_000
    idle: float = 10.0
    reads: int = 4_000
    rate: float = 800.0
    writes: int = 10
    few: int = 2
    streams: int = 1_000
    seconds: float = 6.0
    key_steps: tuple[int, ...] = (10, 100, 1_000)
    rate_steps: tuple[float, ...] = (0.5, 2.0, 5.0)
    size_steps: tuple[int, ...] = (100, 1_000, 10_000, 100_000)


STEPS_AT = 4
"""Instances at which keys, rates and sizes are varied."""

SMOKE = Amount(
    keys=5, idle=1.0, reads=100, rate=500.0, writes=3, few=1, streams=20, seconds=1.0,
    key_steps=(5,), rate_steps=(2.0,), size_steps=(100,),
)  # fmt: skip
"""Says little about cost, but what holds by construction holds for it."""


@dataclass(frozen=True, slots=True)
class Results:
    """designs: by design and number of instances, the parts by name. amount: as Amount."""

    designs: Mapping[str, Mapping[int, Mapping[str, Part]]]
    amount: Mapping[str, Any]

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


Cost = Callable[[dict[str, Part], int], str]
"""What a cell says, given the parts and the number of instances."""


def markdown(results: Results) -> str:
    """All of them, each beneath its heading."""
    made = [
        _over_sizes(results, "Idle, per instance and second", _idle),
        _over_sizes(results, "1,000 reads of documents that do not change", _reading),
        _over_sizes(results, "One write of a key that every instance reads", _hot),
        _over_sizes(results, "One write of a key that nobody reads", _cold),
        _following(results),
        _over_sizes(results, "Loads after a write of a key: read by every instance; by nobody", _loads),
        _steps(results, "keys", "One write, then every instance reads so many keys once", _per_write),
        _steps(results, "rate", "So many writes a second of one key, while all instances read ten keys", _per_second),
        _steps(results, "hot", "One write of a key that every instance reads, by its bytes", _per_write),
        _steps(results, "cold", "One write of a key that nobody reads, by its bytes", _per_write),
    ]
    return "\n\n".join(table for table in made if table)


def _over_sizes(results: Results, title: str, cost: Cost) -> str:
    head = ["instances", *map(str, results.sizes)]
    rows = [
        [TITLES[name], *(cost(dict(sizes[size]), size) if size in sizes else "" for size in results.sizes)]
        for name, sizes in results.designs.items()
    ]
    return _table(title, head, rows)


def _following(results: Results) -> str:
    """Of this service alone: the others tell nobody."""
    sizes = {size: dict(parts) for size, parts in results.designs.get("ours", {}).items() if "told" in parts}
    if not sizes:
        return ""
    head = ["instances", *map(str, sizes)]
    rows = [
        ["streams, in all", *(_figure(size * results.amount["streams"]) for size in sizes)],
        ["idle, without them", *(_idle(parts, size) for size, parts in sizes.items())],
        ["idle, with them", *(_cell(parts["waiting"].per_second.scaled(1 / size)) for size, parts in sizes.items())],
        ["a write that all are told of", *(_per_write(parts["told"], parts["waiting"]) for parts in sizes.values())],
    ]
    return _table("Clients that follow changes; idle per instance and second", head, rows)


def _steps(results: Results, what: str, title: str, cost: Callable[[Part, Part], str]) -> str:
    found = {name: list(results.steps(name, what)) for name in results.designs}
    values = sorted({value for steps in found.values() for value, _, _ in steps})
    rows = [[TITLES[name], *(cost(part, idle) for _, part, idle in sorted(steps))] for name, steps in found.items()]
    return _table(f"{title} ({results.steps_at} instances)", ["", *map(_figure, values)], rows) if values else ""


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join([f"**{title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])


def _idle(parts: dict[str, Part], size: int) -> str:
    return _cell(parts["idle"].per_second.scaled(1 / size))


def _reading(parts: dict[str, Part], _size: int) -> str:
    part = parts["reading"]
    return _cell(part.beyond(parts["idle"]).scaled(1_000 / part.reads))


def _hot(parts: dict[str, Part], _size: int) -> str:
    return _per_write(parts["hot"], parts["idle"])


def _cold(parts: dict[str, Part], _size: int) -> str:
    return _per_write(parts["cold"], parts["idle"])


def _loads(parts: dict[str, Part], _size: int) -> str:
    return "; ".join(_figure(parts[what].loads / parts[what].writes) for what in ("hot", "cold"))


def _per_write(part: Part, idle: Part) -> str:
    return _cell(part.beyond(idle).scaled(1 / part.writes))


def _per_second(part: Part, _idle: Part) -> str:
    return _cell(part.per_second)


def _cell(counts: Counts) -> str:
    watched = f" + {_figure(counts.watched)}" if counts.watched >= 0.05 else ""
    return f"{_figure(counts.rpcs)}{watched}, {_figure(counts.bytes / 1_000)} kB"


def _figure(value: float) -> str:
    """Three digits; what idle work has spared, or overspent by a fraction, is nothing."""
    value = max(0.0, value)
    if value >= 99.5:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"
