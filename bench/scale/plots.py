"""The counts as pictures: SVG, the same bytes for the same counts, readable on white and on black."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.scale.results import TITLES, Results

mpl.use("svg")  # needs no display

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

Points = Sequence[tuple[float, float]]


def draw(results: Results, directory: Path) -> list[Path]:
    """Writes them into the directory; their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_STYLE):
        return [
            _save(_instances(results), directory / "scale-instances.svg"),
            _save(_writes(results), directory / "scale-writes.svg"),
            _save(_keys(results), directory / "scale-keys.svg"),
            _save(_sizes(results), directory / "scale-sizes.svg"),
        ]


def _instances(results: Results) -> Any:
    """The same work spread over more instances: its reads with the idle cost meanwhile, its hot and cold writes."""
    amount = results.amount
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for name, sizes in results.designs.items():
        points = []
        for size, parts in sizes.items():
            writes = (parts[what].beyond(parts["idle"]).operations for what in ("hot", "cold"))
            points.append((size, parts["reading"].counts.operations + sum(writes)))
        _line(axes, name, points)
    reads, writes = f"{amount['reads']:,} reads at {amount['rate']:.0f} a second", amount["writes"]
    work = f"{reads}, {writes} hot and {writes} cold writes"
    _finish(axes, "instances", _OPERATIONS, f"{work}, spread over all instances")
    axes.set_xticks(results.sizes, [str(size) for size in results.sizes])
    axes.legend()
    return figure


def _writes(results: Results) -> Any:
    """Left as it was counted; right what the coefficients say for the largest fleet."""
    figure, (counted, computed) = plt.subplots(1, 2, figsize=(10, 4.2))
    for name in results.designs:
        steps = [(rate, part.per_second.operations) for rate, part, _ in results.steps(name, "rate")]
        _line(counted, name, steps)
    title = f"counted: {results.steps_at} instances, all reading ten keys"
    _finish(counted, "writes a second of one of them", f"{_OPERATIONS} a second", title)
    counted.legend()
    largest = max(results.sizes)
    for name in (each for each in _EITHER if each in results.designs):
        parts = results.designs[name][largest]
        idle = parts["idle"]
        for what, style in (("hot", "-"), ("cold", ":")):
            each = parts[what].beyond(idle).operations / parts[what].writes
            rates = [10 ** (step / 10) for step in range(-20, 21)]
            points = [(rate, idle.per_second.operations + rate * each) for rate in rates]
            label = f"{TITLES[name]}, {'read by all' if what == 'hot' else 'read by nobody'}"
            computed.plot(*zip(*points, strict=True), style, color=_COLOURS[name], label=label)
    title = f"computed from the counts: {largest} instances"
    _finish(computed, "writes a second", f"{_OPERATIONS} a second", title)
    computed.legend()
    return figure


def _keys(results: Results) -> Any:
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for name in results.designs:
        steps = results.steps(name, "keys")
        _line(axes, name, [(keys, part.beyond(idle).operations / part.writes) for keys, part, idle in steps])
    title = f"one write, then {results.steps_at} instances read all keys once"
    _finish(axes, "keys that are read", _OPERATIONS, title)
    axes.legend()
    return figure


def _sizes(results: Results) -> Any:
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for name in (each for each in _EITHER if each in results.designs):
        for what, style in (("hot", "o-"), ("cold", "o:")):
            steps = results.steps(name, what)
            points = sorted((size, part.beyond(idle).bytes / part.writes) for size, part, idle in steps)
            label = f"{TITLES[name]}, {'read by all' if what == 'hot' else 'read by nobody'}"
            axes.plot(*zip(*points, strict=True), style, color=_COLOURS[name], label=label)
    _finish(axes, "bytes of the document", "bytes, both ways", f"one write, {results.steps_at} instances")
    axes.legend()
    return figure


def _line(axes: Any, name: str, points: Points) -> None:
    if points:
        axes.plot(*zip(*sorted(points), strict=True), "o-", color=_COLOURS[name], label=TITLES[name])


def _finish(axes: Any, across: str, up: str, title: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_title(title, fontsize=10, color=_GREY)
    axes.minorticks_off()


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path
