"""Which tests say that they show a fault: `@pytest.mark.fault("…")` on a function, read from the source.

Owns nothing and runs nothing, so that the document can be checked without running what it tells about.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def marked() -> dict[str, set[str]]:
    """By fault, the ids of the tests that bear its name."""
    found: dict[str, set[str]] = {}
    for path in sorted((PROJECT / "tests").rglob("test_*.py")):
        for test, fault in _in_file(path):
            found.setdefault(fault, set()).add(test)
    return found


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    yield from _in_body(ast.parse(path.read_text()).body, path.relative_to(PROJECT).as_posix())


def _in_body(body: list[ast.stmt], place: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _in_body(node.body, f"{place}::{node.name}")
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                yield from ((f"{place}::{node.name}", fault) for fault in _faults(decorator))


def _faults(decorator: ast.expr) -> Iterator[str]:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
        yield from (ast.literal_eval(argument) for argument in decorator.args)
