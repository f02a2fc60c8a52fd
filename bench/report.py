"""Results as people and programs read them: a line each in a terminal, JSON in a file, Markdown in the document.

A result has up to two sets of rounds: with all processes in one session, and with a session each.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from bench import rows
from bench.contest import PERCENTILES, Contest, Rounds
from bench.stage import Effort, Stage

GROUPINGS = ("one session", "a session each")
"""How the processes were grouped: see bench.processes."""

Results = Mapping[str, Mapping[str, Rounds]]
"""By name of the contest, then by grouping."""

BEGIN, END = "<!-- written by make bench -->", "<!-- end of what make bench writes -->"


def line(contest: Contest[Stage], grouping: str, rounds: Rounds) -> str:
    """For a terminal: the figures that have targets, else p99, and the medians behind them."""
    told = []
    for figure in contest.targets or ("p99",):
        target = contest.targets.get(figure)
        verdict = "" if target is None else f" {target} {'met' if target.met_by(rounds.outcome(figure)) else 'NOT MET'}"
        medians = " : ".join(_median(each, figure) for each in (rounds.ours, rounds.peer) if each)
        told.append(f"{figure} {_cell(rounds, figure)}{verdict} [{medians}]")
    return f"{contest.name} ({grouping}): {'; '.join(told)}"


def markdown(results: Results, machine: str) -> str:
    """Both tables, and where they come from."""
    return "\n".join([*textwrap.wrap(machine, 120), "", *_targets(results), "", *_latencies(results)])


def _targets(results: Results) -> list[str]:
    lines = []
    for contest in rows.CONTESTS:
        found = results.get(contest.name, {})
        for figure, target in contest.targets.items() if found else ():
            cells = [_cell(found[each], figure) if each in found else "" for each in GROUPINGS]
            met = all(target.met_by(rounds.outcome(figure)) for rounds in found.values())
            lines.append((contest.name, figure, str(target), *cells, "yes" if met else "**no**"))
    return table(("what", "figure", "target", *GROUPINGS, "met"), lines)


def _latencies(results: Results) -> list[str]:
    figures = ("requests/s", *PERCENTILES)
    lines = [
        (contest.what, grouping, *(f"{_median(found.ours, each)} : {_median(found.peer, each)}" for each in figures))
        for contest in rows.LATENCIES
        for grouping, found in results.get(contest.name, {}).items()
    ]
    titles = (f"{each}, ms" if each in PERCENTILES else each for each in figures)
    return table(("ours : bare RSGI callable", "", *titles), lines)


def table(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *lines)]


def _cell(rounds: Rounds, figure: str) -> str:
    """The median; the least and the most where there are several."""
    found = rounds.outcomes(figure)
    spread = f" ({_short(min(found))} to {_short(max(found))})" if len(found) > 1 else ""
    return _short(rounds.outcome(figure)) + spread


def _median(side: Sequence[Mapping[str, float]], figure: str) -> str:
    return _short(statistics.median(each[figure] for each in side))


def _short(figure: float) -> str:
    """Three digits are more than the spread lets one believe."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def machine(effort: Effort) -> str:
    """A sentence about where it was measured, and how long."""
    models = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    cpu = models[0].partition(":")[2].strip() if models else platform.machine()
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, timeout=10, check=False).stdout.split()
    grouped = {"1": "shares its CPUs between sessions", "0": "does not group processes"}
    autogroup = grouped.get(
        _read("/proc/sys/kernel/sched_autogroup_enabled").strip(), "is not known to group processes"
    )
    return (
        f"{os.cpu_count()} CPUs ({cpu}), {platform.system()} {platform.release()}, which {autogroup}; "
        f"Python {platform.python_version()}, Granian {version('granian')}, uvloop {version('uvloop')}, "
        f"wrk {wrk[1] if len(wrk) > 1 else ''}. {effort.rounds} rounds of {effort.seconds} s a side; load average "
        f"when it began: {os.getloadavg()[0]:.1f}."
    )


def _read(file: str) -> str:
    """Nothing where there is no such file: it is Linux's."""
    path = Path(file)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def save(file: Path, results: Results, about: str, effort: Effort) -> None:
    """Writes everything that was measured, round by round, and where."""
    file.parent.mkdir(parents=True, exist_ok=True)
    found = {name: {each: asdict(rounds) for each, rounds in by.items()} for name, by in results.items()}
    content = {"machine": about, "effort": asdict(effort), "results": found}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_document(document: Path, tables: str, begin: str = BEGIN, end: str = END) -> None:
    """Puts the tables between their two marks. Raises ValueError where the marks are not there, once and in order."""
    before, begun, rest = document.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{document} has no lines {begin!r} and {end!r}, between which the tables would go")
    document.write_text(f"{before}{begin}\n\n{tables}\n\n{end}{after}", encoding="utf-8")
