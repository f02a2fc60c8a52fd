"""Answers of other instances, and JSON that others have written: understood, or ignored. Pure.

What comes out of JSON can be written as JSON and shown: no NaN, no number that readers disagree on, no half of a
surrogate pair, nothing that is nested deeper than anything of ours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

LONGEST = 64 * 1024
"""Bytes of an answer of somebody else's that are looked at."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, cut at LONGEST; names of headers in small letters. If there is none, `why_not` says why."""

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    why_not: str = ""


MAX_DEPTH = 8
DIGITS = 19
"""Of an integer: no more than 64 bits hold."""


def read_object(text: str | bytes) -> dict[str, Any] | None:
    """The object; None for anything else, and for one that holds anything of the above."""
    try:
        found = json.loads(text, parse_constant=_refuse, parse_int=_integer, parse_float=_finite)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_flat(found, MAX_DEPTH) else None


def as_text(found: object) -> str:
    """A text as it is; empty for anything else."""
    return found if isinstance(found, str) else ""


def number_of(text: str | None) -> int | None:
    """The number that a header's value says, if it says one that 64 bits hold."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= DIGITS else None


def _is_flat(found: object, levels: int) -> bool:
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return levels > 0 and all(_is_flat(each, levels - 1) for each in inner if isinstance(each, dict | list))


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("too large")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
