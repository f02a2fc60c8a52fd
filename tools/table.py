"""Locust's result as a table in Markdown: `python -m tools.table load.json`.

Reads the file that LOAD_RESULT names; see locustfile.py. Exits with 1 when there are failures or nothing was measured.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One kind of request; times in milliseconds."""

    requests: int
    failures: int
    median: int
    average: int
    least: int
    most: int


ALWAYS = ("DELETE", "PUT", "GET use_cache=false", "GET use_cache=true")
"""The rows of the usual users, which are there even if nothing was measured."""

HEAD = ["request", "#", "failures", "median", "average", "min", "max"]
NOTHING = Row(0, 0, 0, 0, 0, 0)


def read(file: Path) -> dict[str, Row]:
    """The rows of a result, by the requests' names. Raises ValueError or KeyError when the file isn't one."""
    return {entry["name"]: _row(entry) for entry in json.loads(file.read_text(encoding="utf-8"))}


def _row(entry: dict[str, Any]) -> Row:
    times = [int(time) for time, count in entry["response_times"].items() for _ in range(count)]
    return Row(
        requests=entry["num_requests"],
        failures=entry["num_failures"],
        median=round(statistics.median(times or [0])),
        average=round(entry["total_response_time"] / max(1, entry["num_requests"])),
        least=round(entry["min_response_time"] or 0),
        most=round(entry["max_response_time"]),
    )


def markdown(measured: dict[str, Row]) -> str:
    """Those of the usual users, then what was measured besides; in columns, for a terminal."""
    names = [*ALWAYS, *sorted(measured.keys() - {*ALWAYS})]
    rows = [[name, *measured.get(name, NOTHING)] for name in names]
    lines = [HEAD, *([str(cell) for cell in row] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (HEAD, rule, *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "| " + " | ".join([cells[0].ljust(widths[0]), *numbers]) + " |"


def main() -> int:
    """Prints the table; the exit code."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        usage = "expected the result of a run: LOAD_RESULT=load locust --headless …; python -m tools.table load.json"
        sys.stderr.write(usage + "\n")
        return 2
    measured = read(Path(sys.argv[1]))
    sys.stdout.write(markdown(measured) + "\n")
    return 0 if measured and not any(row.failures for row in measured.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
