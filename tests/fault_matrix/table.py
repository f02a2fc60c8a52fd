"""The document `docs/faults.md`: the matrix, which tests show each row, and with what result. Pure, but for the file.

It holds no times, so that it changes only when a row, a test or a result does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap

from tests.fault_matrix.rows import Row

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
PASSED = "passed"
COLUMNS = 120
"""Of the notes, at most."""

Results = Mapping[str, Mapping[str, str]]
"""By a row's fault: the tests that show it, by id (`tests/x.py::test_y`), and what became of each."""

_OPENING = """\
# Faults: what happens then, and what shows it

`make faults` writes this page after it has run the tests named here. They use real processes wherever the fault is one
of processes, networks or machines. B is the staleness bound. *≤ B*: served from memory while the last proof is younger
than B, then 503 with `Retry-After`. *?*: 504, outcome unknown; the service never sends the write again.
[PROTOCOL.md](../PROTOCOL.md) argues for the guarantees themselves. `make torture` mixes most of these faults.

| fault | default reads | uncached and linearizable reads | writes | /healthz, /readyz | membership | result |
|---|---|---|---|---|---|---|
"""

_SHOWN_BY = """
## Shown by
"""


def document(rows: Sequence[Row], results: Results) -> str:
    """The document, in the order of the rows."""
    table = "".join(_row(row, results.get(row.fault, {})) for row in rows)
    return _OPENING + table + _SHOWN_BY + "".join(_tests(row, results.get(row.fault, {})) for row in rows)


def _row(row: Row, tests: Mapping[str, str]) -> str:
    cells = (row.fault, row.default, row.uncached, row.write, row.health, row.membership, result(row, tests))
    return f"| {' | '.join(cells)} |\n"


def result(row: Row, tests: Mapping[str, str]) -> str:
    """In a word or two."""
    if not tests:
        return row.reason or "**not run**"
    failed = sum(outcome != PASSED for outcome in tests.values())
    if failed:
        return f"**{failed} of {len(tests)} did not pass**"
    return f"passed, {len(tests)} test{'s' if len(tests) > 1 else ''}"


def _tests(row: Row, tests: Mapping[str, str]) -> str:
    lines = [f"- `{test}`{'' if (end := tests[test]) == PASSED else f': {end}'}" for test in sorted(tests)]
    note = [*wrap(f"{row.note[0].upper()}{row.note[1:]}.", COLUMNS, break_on_hyphens=False), ""] if row.note else []
    return "\n".join(["", f"### {row.fault}", "", *note, *(lines or [row.reason or "Nothing yet."]), ""])
