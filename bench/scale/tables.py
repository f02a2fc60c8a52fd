"""The counts as Markdown tables. Pure.

A cell says RPCs, messages of watches where there are any (+), and the kB of both, sent and received by etcd. Reads and
writes are charged with what they cost beyond what the fleet costs while idle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.scale.counts import Counts
from bench.scale.part import Part
from bench.scale.results import TITLES, Results

Cost = Callable[[dict[str, Part], int], str]
"""What a cell says, given the parts and the number of instances."""


def markdown(results: Results) -> str:
    """All of them, each beneath its heading."""
    made = [
        _over_sizes(results, "Idle, per instance and second", _idle),
        _over_sizes(results, "1,000 reads of documents that do not change", _reading),
        _over_sizes(results, "One write of a key that every instance reads", _hot),
        _over_sizes(results, "One write of a key that nobody reads", _cold),
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
