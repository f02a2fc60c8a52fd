"""Results as people and programs read them: a line each in a terminal, JSON in a file, Markdown in documents."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.contest import Result
from bench.effort import Effort

HEAD = """\
| what | ours | peer | unit | ratio | spread | target | met |
|---|---|---|---|---|---|---|---|"""


def line(result: Result) -> str:
    """One row for a terminal: the figure that counts, its spread, the target, and the medians behind it."""
    verdict = {True: "met", False: "NOT MET", None: ""}[result.met]
    medians = " : ".join(_short(statistics.median(each)) for each in (result.ours, result.peer) if each)
    spread, target = f"({_spread(result)})", result.target or ""
    return f"{result.name:<72} {_median(result):>6} {spread:<18} {target:<6} {verdict:<8} {medians} {result.unit}"


def markdown(results: Sequence[Result]) -> str:
    """The table, as documents show it."""
    return "\n".join([HEAD, *(_row(result) for result in results)])


def _row(result: Result) -> str:
    theirs = _short(statistics.median(result.peer)) if result.peer else ""
    ours, verdict = _short(statistics.median(result.ours)), {True: "yes", False: "**no**", None: ""}[result.met]
    cells = (result.name, ours, theirs, result.unit, _median(result), _spread(result), result.target or "", verdict)
    return f"| {' | '.join(cells)} |"


def save(file: Path, results: Sequence[Result], effort: Effort) -> None:
    """Writes everything that was measured, round by round, and where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    content = {"machine": machine, "effort": asdict(effort), "rows": [asdict(each) for each in results]}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(file: Path) -> list[Result]:
    """Reads what `save` wrote. Raises ValueError, KeyError or TypeError when that isn't it."""
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return [Result(**{**row, "ours": tuple(row["ours"]), "peer": tuple(row["peer"])}) for row in rows]


def _median(result: Result) -> str:
    return _short(statistics.median(result.outcomes))


def _spread(result: Result) -> str:
    return f"{_short(min(result.outcomes))} to {_short(max(result.outcomes))}"


def _short(figure: float) -> str:
    """Three digits are more than the spread lets one believe."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
