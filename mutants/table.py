"""`docs/mutants.md`: which test notices which break of the protocol. Owns the document's form. Pure, but for the file.

It holds no times and no counts, so that it changes only when a mutant or the test that notices it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutants.catalogue import IMPOSSIBLE, Mutant

DOCUMENT = Path(__file__).parents[1] / "docs" / "mutants.md"

Killers = Mapping[str, str]
"""By a mutant's title the test that notices it: `instance/test_x.py::test_y`, beneath `tests/`."""

_ROW = re.compile(r"^\| (\d+) \| (.+) \| `(\S+)` \|$", re.MULTILINE)

_OPENING = """\
# Mutants: what notices a broken rule

`make mutants` writes this page. Each mutant is one deliberate break of one rule of [PROTOCOL.md](../PROTOCOL.md),
applied to a copy of the source (`mutants/catalogue.py`). A test has to fail on it. Mostly several do; the table names
the first. CI replays every row: it runs the named test on the mutant, and all other tests if that one misses it.

| rule | mutant | killed by |
|---|---|---|
"""

_CLOSING = """
## Not in the table

One would expect these breaks in the table, too, but this design has no place for them. The last column names the
nearest break that it has.

| rule | break | why not | nearest |
|---|---|---|---|
"""


def killers(text: str) -> dict[str, str]:
    """What a document says, by title."""
    return {f"rule {rule}: {break_}": test for rule, break_, test in _ROW.findall(text)}


def document(mutants: Sequence[Mutant], known: Killers) -> str:
    """The document, in the catalogue's order; a mutant that nobody is known to notice is left out."""
    rows = [f"| {m.rule} | {m.break_} | `{known[m.title]}` |\n" for m in mutants if m.title in known]
    nots = [f"| {each.rule} | {each.break_} | {each.reason} | {each.nearest} |\n" for each in IMPOSSIBLE]
    return _OPENING + "".join(rows) + _CLOSING + "".join(nots)
