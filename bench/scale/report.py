"""The counts as people read them: Markdown tables, and SVG that is readable on white and on black.

A cell says RPCs, messages of watches where there are any (+), and the kB of both, sent and received by etcd. Reads and
writes are charged with what they cost beyond what the fleet costs while idle. The same counts make the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.report import table
from bench.scale.counts import Counts, Part, Results

TITLES = {
    "ours": "this service",
    "no-cache": "no cache",
    "prefix-watch": "watch on everything",
    "version-key": "version key without names",
    "ttl-cache": "TTL of 1 s",
}

Cost = Callable[[dict[str, Part], int], str]
"""What a cell says, given the parts and the number of instances."""


def markdown(results: Results) -> str:
    """All of them, each beneath its heading."""
    made = [
        _over_sizes(results, "Idle, per instance and second", _idle),
        _over_sizes(results, "1,000 reads of documents that do not change", _reading),
        _over_sizes(results, "One write of a key that every instance reads", _written("hot")),
        _over_sizes(results, "One write of a key that nobody reads", _written("cold")),
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
    return "\n".join([f"**{title}**", "", *table(head, rows)])


def _idle(parts: dict[str, Part], size: int) -> str:
    return _cell(parts["idle"].per_second.scaled(1 / size))


def _reading(parts: dict[str, Part], _size: int) -> str:
    part = parts["reading"]
    return _cell(part.beyond(parts["idle"]).scaled(1_000 / part.reads))


def _written(what: str) -> Cost:
    return lambda parts, _size: _per_write(parts[what], parts["idle"])


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


# --- plots

_GREY = "#858b93"
_COLOURS = {
    "ours": "#1f8fd6",
    "no-cache": "#d1495b",
    "prefix-watch": "#2ea36b",
    "version-key": "#c98300",
    "ttl-cache": "#9a6fd0",
}
_STYLE: Any = {
    "svg.hashsalt": "scale", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10, "text.color": _GREY,
    "axes.edgecolor": _GREY, "axes.labelcolor": _GREY, "xtick.color": _GREY, "ytick.color": _GREY,
    "grid.color": _GREY, "grid.alpha": 0.25, "axes.grid": True, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "savefig.transparent": True,
}  # fmt: skip
_EITHER = ("ours", "prefix-watch")
"""Those whose writes cost every instance something."""

_OPERATIONS = "RPCs and watch messages"


def draw(results: Results, directory: Path) -> list[Path]:
    """Writes them into the directory; their paths."""
    import matplotlib as mpl  # takes a second, and counting needs none
    from matplotlib import pyplot as plt

    mpl.use("svg")  # needs no display
    directory.mkdir(parents=True, exist_ok=True)
    plots = {"instances": (_instances,), "writes": (_writes, _computed), "keys": (_keys,), "sizes": (_sizes,)}
    paths = []
    with mpl.rc_context(_STYLE):
        for name, parts in plots.items():
            figure, axes = plt.subplots(1, len(parts), figsize=(7.5 if len(parts) == 1 else 10, 4.2), squeeze=False)
            for part, each in zip(parts, axes[0], strict=True):
                part(results, each)
                each.legend()
            figure.tight_layout()
            paths.append(directory / f"scale-{name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None})
            plt.close(figure)
    return paths


def _instances(results: Results, axes: Any) -> None:
    """The same work spread over more instances: its reads with the idle cost meanwhile, its hot and cold writes."""
    amount = results.amount
    for name, sizes in results.designs.items():
        points = []
        for size, parts in sizes.items():
            writes = (parts[what].beyond(parts["idle"]).operations for what in ("hot", "cold"))
            points.append((size, parts["reading"].counts.operations + sum(writes)))
        _line(axes, name, points)
    reads, each = f"{amount['reads']:,} reads at {amount['rate']:.0f} a second", amount["writes"]
    title = f"{reads}, {each} hot and {each} cold writes, spread over all instances"
    _finish(axes, "instances", _OPERATIONS, title)
    axes.set_xticks(results.sizes, [str(size) for size in results.sizes])


def _writes(results: Results, axes: Any) -> None:
    """As it was counted."""
    for name in results.designs:
        _line(axes, name, [(rate, part.per_second.operations) for rate, part, _ in results.steps(name, "rate")])
    title = f"counted: {results.steps_at} instances, all reading ten keys"
    _finish(axes, "writes a second of one of them", f"{_OPERATIONS} a second", title)


def _computed(results: Results, axes: Any) -> None:
    """What the coefficients say for the largest fleet."""
    largest = max(results.sizes)
    rates = [10 ** (step / 10) for step in range(-20, 21)]
    for name in (each for each in _EITHER if each in results.designs):
        parts = results.designs[name][largest]
        idle = parts["idle"]
        for what in ("hot", "cold"):
            cost = parts[what].beyond(idle).operations / parts[what].writes
            _by_readers(axes, name, what, [(rate, idle.per_second.operations + rate * cost) for rate in rates], "")
    _finish(axes, "writes a second", f"{_OPERATIONS} a second", f"computed from the counts: {largest} instances")


def _keys(results: Results, axes: Any) -> None:
    for name in results.designs:
        steps = results.steps(name, "keys")
        _line(axes, name, [(keys, part.beyond(idle).operations / part.writes) for keys, part, idle in steps])
    title = f"one write, then {results.steps_at} instances read all keys once"
    _finish(axes, "keys that are read", _OPERATIONS, title)


def _sizes(results: Results, axes: Any) -> None:
    for name in (each for each in _EITHER if each in results.designs):
        for what in ("hot", "cold"):
            steps = results.steps(name, what)
            points = sorted((size, part.beyond(idle).bytes / part.writes) for size, part, idle in steps)
            _by_readers(axes, name, what, points, "o")
    _finish(axes, "bytes of the document", "bytes, both ways", f"one write, {results.steps_at} instances")


def _line(axes: Any, name: str, points: Sequence[tuple[float, float]]) -> None:
    if points:
        axes.plot(*zip(*sorted(points), strict=True), "o-", color=_COLOURS[name], label=TITLES[name])


def _by_readers(axes: Any, name: str, what: str, points: Sequence[tuple[float, float]], mark: str) -> None:
    """what: `hot`, a solid line, or `cold`, a dotted one."""
    style, label = ("-", "read by all") if what == "hot" else (":", "read by nobody")
    axes.plot(*zip(*points, strict=True), mark + style, color=_COLOURS[name], label=f"{TITLES[name]}, {label}")


def _finish(axes: Any, across: str, up: str, title: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_title(title, fontsize=10, color=_GREY)
    axes.minorticks_off()
