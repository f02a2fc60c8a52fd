"""Whether bytes are a JSON document that every reader understands alike (RFC 8259). Pure; the bytes stay as they are.

Stricter than `json.loads`, which takes NaN and Infinity, guesses at encodings and runs out of stack on deep nesting;
and more lenient, since numbers are not evaluated here: a number of 5,000 digits is fine.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import NoReturn

from service.problems import Refused, bad_request

MAX_DEPTH = 128
"""Arrays and objects inside of one another. Readers in other languages give up at 500 or so."""

# A string that never ends goes on to the end: to try again behind each of its quotes would take time squared.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_document(document: bytes) -> None:
    """Raises Refused (400) unless `document` is one JSON text in UTF-8 that is nested at most MAX_DEPTH deep."""
    try:
        text = document.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise _refusal(f"byte {error.start} is not UTF-8") from None
    if depth(document) > MAX_DEPTH:
        raise _refusal(f"it is nested more than {MAX_DEPTH} deep")
    try:
        json.loads(text, parse_constant=_refuse_constant, parse_int=_ignore, parse_float=_ignore)
    except json.JSONDecodeError as error:
        raise _refusal(f"{error.msg} at line {error.lineno}, column {error.colno}") from None


def depth(document: bytes) -> int:
    """How deep brackets are nested outside of strings. For other bytes at least what a parser meets."""
    brackets = _STRING.sub(b"", document).translate(None, delete=_NO_BRACKETS)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)


def _ignore(_: str) -> None:
    """Numbers need not be evaluated, and some can't be."""


def _refuse_constant(name: str) -> NoReturn:
    raise _refusal(f"{name} is not a JSON value")


def _refusal(reason: str) -> Refused:
    return bad_request("invalid-json", f"The body is not an acceptable JSON document: {reason}.")
