"""JSON texts as people and programs write them, and stranger ones: what a page must not change a byte of."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

SPACE = st.text(" \t\n\r", max_size=3)
NUMBERS = st.one_of(
    st.sampled_from(
        ["1.0", "-0.0", "-0", "0e0", "1e400", "-1E-400", "1e5", "1E+5", "0.10", "9007199254740993", "1" * 40]
    ),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
PLAIN = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"\\')
CHARACTERS = st.one_of(
    PLAIN,
    st.sampled_from(["\u240d", "\u2028", "\ufeff", "\x7f", "\x85", "\U0001f600", "e\u0301", "9e9", "{", "]", ":", ","]),
    st.sampled_from([r"\u0061", r"\u0000", r"\uD83D", r"\ud83d\ude00", r"\/", r"\"", r"\\", r"\n", r"\r", r"\u000A"]),
)
STRINGS = st.lists(CHARACTERS, max_size=8).map(lambda parts: f'"{"".join(parts)}"')
NAMES = st.sampled_from(['"a"', '"b"', '"10"', '"2"', '""', '"__proto__"', r'"\u0061"'])
SCALARS = st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null", "[]", "{}", "[ ]", "{\r}"]))


def _array(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(_spaced(items), max_size=4).map(lambda parts: f"[{','.join(parts)}]")


def _object(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.tuples(_spaced(NAMES), _spaced(items)).map(":".join)
    return st.lists(member, max_size=4).map(lambda parts: f"{{{','.join(parts)}}}")


def _spaced(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(SPACE, inner, SPACE).map("".join)


def _nested(inner: str, depth: int) -> str:
    return "[" * depth + inner + "]" * depth


VALUES = st.recursive(SCALARS, lambda items: st.one_of(_array(items), _object(items)), max_leaves=12)
TEXTS = st.one_of(_spaced(VALUES), _spaced(st.builds(_nested, VALUES, st.integers(1, 100))))
"""Valid ones, of 128 levels at most: that is as deep as the service lets them be."""


def repeats_a_name(text: str) -> bool:
    """Whether an object in it has two members of one name."""
    found = False

    def look(members: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in members}) < len(members)

    json.loads(text, object_pairs_hook=look)
    return found


def without_space(text: str) -> str:
    """What is left when the space between tokens goes."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', lambda found: found[1] or "", text)
