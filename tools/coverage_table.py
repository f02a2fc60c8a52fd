"""Prints which part of each package's lines and branches has been run: `make coverage`. Reads coverage's JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

_COUNTED = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def by_package(report: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """What coverage counted, by folder."""
    packages: dict[str, Counter[str]] = {}
    for name, file in report["files"].items():
        package = PurePosixPath(name).parent.as_posix()
        packages.setdefault(package, Counter()).update({each: file["summary"][each] for each in _COUNTED})
    return packages


def table(packages: Mapping[str, Counter[str]]) -> str:
    """A line for each, and one for all."""
    total = sum(packages.values(), Counter[str]())
    rows = [*sorted(packages.items()), ("all", total)]
    lines = [f"{'package':<28}{'lines':>8}{'branches':>10}"]
    for name, counts in rows:
        run = _part(counts["covered_lines"], counts["num_statements"])
        taken = _part(counts["covered_branches"], counts["num_branches"])
        lines.append(f"{name:<28}{run:>8}{taken:>10}")
    return "\n".join(lines)


def _part(covered: int, there: int) -> str:
    return f"{100 * covered / there:.1f} %" if there else "-"


if __name__ == "__main__":
    print(table(by_package(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))  # noqa: T201
