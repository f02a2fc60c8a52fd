"""Documents fit into a window of 120 columns, as the code does: only what can't be broken is wider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.instances import PROJECT

COLUMNS = 120
UNBREAKABLE = re.compile(r"\s*(?:(?:[-*>]|\d+\.|\[[^\]]+\]:)\s+)*(?:!\[.*\]\(\S+\)|`[^`]+`\S*|\S+)")
"""A line of one link, one image or one command, with or without the mark of a list before it."""
NOT_OURS = {"instance", "dist", "build", "node_modules"}
"""Folders that tools fill."""
WIDE = "word " * 30
LINK = "https://example.com/" + "x" * 120


def documents() -> list[str]:
    """All of the project's Markdown, by its path; nothing of what tools put beside it."""
    return sorted(str(file.relative_to(PROJECT)) for file in files(PROJECT) if file.suffix == ".md")


def files(folder: Path) -> Iterator[Path]:
    for each in folder.iterdir():
        if each.is_file():
            yield each
        elif not each.is_symlink() and each.name[0] != "." and each.name not in NOT_OURS:
            yield from files(each)


def too_wide(text: str) -> Iterator[int]:
    """The numbers of lines that are wider than a window, and could be broken. Tables and code can't."""
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        code ^= fence
        held_together = code or fence or line.lstrip().startswith("|") or UNBREAKABLE.fullmatch(line.rstrip())
        if len(line) > COLUMNS and not held_together:
            yield number


@pytest.mark.parametrize("document", documents())
def test_no_line_of_a_document_is_wider_than_120_columns(document: str) -> None:
    assert list(too_wide((PROJECT / document).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("line", [WIDE, f"- {WIDE}", f"# {WIDE}", f"> {WIDE}", f"See [this]({LINK})"])
def test_a_wide_line_of_prose_is_found(line: str) -> None:
    assert list(too_wide(f"short\n{line}\nshort")) == [2]


@pytest.mark.parametrize(
    "text",
    [f"| {WIDE} |", f"```text\n{WIDE}\n```", f"<{LINK}>", f"- [it]({LINK})", f"  ![{WIDE}](a.png)", f"[a]: {LINK}"],
)
def test_what_cannot_be_broken_may_be_wide(text: str) -> None:
    assert list(too_wide(text)) == []


def descriptions(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """What is said of each part of the API."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(value, yaml.ScalarNode) and key.value in ("description", "summary"):
                yield value
            yield from descriptions(value)
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from descriptions(each)


def test_no_description_of_the_api_is_wider_than_120_columns() -> None:
    text = (PROJECT / "service" / "site" / "openapi.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    spans = [(node.start_mark.line, node.end_mark) for node in descriptions(yaml.compose(text))]
    said = {number for first, last in spans for number in range(first, last.line + (last.column > 0))}
    assert len(said) > 300
    wide = [number + 1 for number in said if len(lines[number]) > COLUMNS]
    assert [number for number in wide if not lines[number - 1].lstrip().startswith("|")] == []
