"""docs/how-it-works.md: each step has its rule and its place in the code, and what is named there exists."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.architecture.test_protocol_document import rules, rules_in
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
DIAGRAM = re.compile(r"^```text\n(.*?)^```\n(.*?)(?=^#|^```|\Z)", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^(\d+)\. (.*(?:\n {3,}\S.*)*)", re.MULTILINE)
PLACE = re.compile(r"`([\w/]+\.py)`,\s+`([\w.]+)`")
WIDTH = 118
"""Columns of a diagram, at most: one that a terminal wraps can't be read."""

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def prose() -> str:
    return re.sub(r"^```.*?^```", "", DOCUMENT, flags=re.MULTILINE | re.DOTALL)


def places() -> list[tuple[str, str]]:
    """What is named beside its file: `consistency/instance/reads.py`, `Reads.get`."""
    return sorted(set(PLACE.findall(prose())))


@cache
def defined(file: str) -> frozenset[str]:
    """The functions and classes of a file, and the methods as `Class.method`."""
    found = set()
    for node in ast.parse((PROJECT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, _FUNCTION)}
        if isinstance(node, ast.ClassDef | _FUNCTION):
            found.add(node.name)
    return frozenset(found)


def test_every_file_named_exists() -> None:
    named = set(re.findall(r"`([\w/.-]+/[\w.-]*)`", prose()))
    assert len(named) > 20
    assert [name for name in named if not (PROJECT / name).exists()] == []


@pytest.mark.parametrize(("file", "name"), places())
def test_what_is_named_beside_a_file_is_defined_there(file: str, name: str) -> None:
    assert name in defined(file)


def test_what_is_named_elsewhere_is_defined_in_a_file_that_is_named() -> None:
    """A method without its file beside it, such as a second one of a class; and classes, such as `Ahead`."""
    everything = frozenset().union(*(defined(file) for file, _ in places()))
    errors = frozenset().union(
        *(defined(f"consistency/core/{room}.py") for room in ("errors", "documents", "preconditions"))
    )
    headers = {"Age"}
    named = set(re.findall(r"`(_?[A-Z][a-z]\w*(?:\.\w+)?)`", prose()))
    assert named - everything - errors - headers == set()


def test_every_rule_named_exists() -> None:
    assert rules_in(DOCUMENT) <= rules()


def test_every_step_of_a_diagram_is_told_with_its_rule_and_its_place() -> None:
    told = DIAGRAM.findall(DOCUMENT)
    assert len(told) == 5
    for diagram, text in told:
        steps = STEP.findall(text)
        assert [number for number, _ in steps] == re.findall(r"\b(\d+)\. ", diagram)
        for number, step in steps:
            assert re.match(r"\*\*Rules? [\d, and]+\.\*\* ", step), number
            assert re.search(r"\.py`,\s+`", step), number


def test_diagrams_fit_into_a_terminal() -> None:
    assert max(len(line) for diagram, _ in DIAGRAM.findall(DOCUMENT) for line in diagram.splitlines()) <= WIDTH
