"""docs/how-it-works.md names places in the code and rules of the protocol: all of them exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.test_protocol_document import rules
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", DOCUMENT)))
WIDEST = 120
"""Characters of a diagram: it has to be readable in a terminal."""


def defined(file: str) -> set[str]:
    """Functions, classes and methods, as `name` and `Class.name`."""
    found: set[str] = set()
    for node in ast.parse((PROJECT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_every_place_named_exists(file: str, name: str) -> None:
    assert name in defined(file)


def test_every_file_named_exists() -> None:
    files = set(re.findall(r"`((?:consistency|service|tests)/[\w/]*(?:\.py)?)`", DOCUMENT))
    assert len(files) > 10
    assert [file for file in sorted(files) if not (PROJECT / file).exists()] == []


def test_every_rule_named_exists_and_none_of_reading_and_writing_is_left_out() -> None:
    named = {
        int(number) for words in re.findall(r"[Rr]ules? ([\d and]+)", DOCUMENT) for number in re.findall(r"\d+", words)
    }
    assert named <= rules()
    assert named >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14}


def test_diagrams_fit_into_a_terminal() -> None:
    diagrams = re.findall(r"^```\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(diagrams) == 5
    assert [line for diagram in diagrams for line in diagram.splitlines() if len(line) > WIDEST] == []
