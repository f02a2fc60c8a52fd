"""docs/metrics.md and the registry say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests.metrics.sample import exercised

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \| (?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|", re.MULTILINE)


class Described(NamedTuple):
    """A metric as the table has it."""

    type: str
    labels: frozenset[str]


def documented() -> dict[str, Described]:
    """The rows of all tables."""
    return {
        row["name"]: Described(row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"])))
        for row in ROW.finditer(DOCUMENT.read_text(encoding="utf-8"))
    }


def exposed() -> dict[str, Described]:
    """The metrics of an instance to which everything has happened."""
    _, registry = exercised()
    found = {}
    for family in registry.collect():
        name = family.name + "_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = Described(family.type, frozenset(labels))
    return found


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    """Name, type and labels, both ways. Away from Linux there are no `process_` metrics to compare."""
    there, told = exposed(), documented()
    if not any(name.startswith("process_") for name in there):
        told = {name: row for name, row in told.items() if not name.startswith("process_")}
    assert told == there
