"""What was counted, read back. Pure but for the file it reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scale.counts import Counts
from bench.scale.part import Part

TITLES = {
    "ours": "this service",
    "no-cache": "no cache",
    "prefix-watch": "watch on everything",
    "version-key": "version key without names",
    "ttl-cache": "TTL of 1 s",
}


@dataclass(frozen=True, slots=True)
class Results:
    """designs: by design and number of instances, the parts by name. amount: as bench.scale.amount.Amount."""

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
