"""Describes a value that can't be used, for a message: its kind and its size, never the value itself.

Pure. A value in the wrong place may be a secret, and messages end up in logs. So nothing here repeats a value, except a
number where a number belongs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"[+-]?(\d{1,12}(\.\d{0,6})?|inf|nan)", re.ASCII | re.IGNORECASE)

Kinds = Mapping[type, str]
_KINDS: Kinds = {type(None): "null", bool: "true or false", int: "a number", float: "a number", bytes: "bytes"}


def describe(found: object) -> str:
    """Such as "a text of 12 characters", "a list of 3", "an object of 2 members", "null"."""
    if isinstance(found, str):
        return f"a text of {_count(len(found), 'character')}" if found else "an empty text"
    if isinstance(found, Mapping):
        return f"an object of {_count(len(found), 'member')}" if found else "an empty object"
    if isinstance(found, Sequence) and not isinstance(found, bytes):
        return f"a list of {len(found)}" if found else "an empty list"
    return _KINDS.get(type(found), "something else")


def describe_number(text: str) -> str:
    """As `describe`, where a number is expected: one that is out of bounds is said."""
    return text.strip() if _NUMBER.fullmatch(text.strip()) else f"{describe(text)}, no number"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
