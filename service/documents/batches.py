"""What `POST /config/` asks for: the changes of an atomic batch, from its JSON. Pure.

    {"operations": [
      {"op": "put", "key": "team/app", "value": {"limit": 10}, "if_match": "4"},
      {"op": "delete", "key": "team/old"}
    ]}

`if_match` is "*" or a revision, `if_none_match` (of a put) is "*". A value is stored as it is written in the body, byte
for byte. Nothing is guessed: what is unknown, missing, repeated or null is refused, with the operation's index.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from consistency.core.model import MustBeAbsent, MustBeAt, MustExist, Precondition, PreconditionFailed
from consistency.core.store import Change, Delete, Put
from service import json_text
from service.documents.outline import Operation, Outline
from service.http.parameters import MAX_REVISION
from service.http.problems import Refused, bad_request, problem_for
from service.http.requests import check_key
from service.json_text import Part

MAX_OPERATIONS = 100
MAX_DEPTH = json_text.MAX_DEPTH + 3
"""Of the body: a value in a batch, in its list, in an operation may be nested as deep as one that is sent alone."""

LONGEST_SHOWN = 60

LONGEST_TEXT = 16 * 1024
"""Bytes of a string as it is written: six times as much as any key, condition or name of an operation can take."""

_FIELDS = {"put": ("op", "key", "value", "if_match", "if_none_match"), "delete": ("op", "key", "if_match")}
_KNOWN = frozenset(name for names in _FIELDS.values() for name in names)
_REVISION = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)


def changes_in(body: bytes) -> Generator[None, None, tuple[Change, ...]]:
    """What a body asks for, in its order: 1 to 100 changes of different keys.

    In slices: the check of the body, then a copy of each value. Raises NotJson, and Refused (400).
    """
    changes: dict[str, Change] = {}
    outline = Outline(body, MAX_DEPTH, _KNOWN, most=MAX_OPERATIONS + 1)
    yield from outline.drawn()
    for index, operation in enumerate(_operations(outline)):
        yield
        with _naming(index):
            change = _change(operation)
            if changes.setdefault(change.key, change) is not change:
                raise _refusal(f"there is another operation on the key {change.key!r}")
    return tuple(changes.values())


def refused_by(failed: PreconditionFailed, changes: Sequence[Change]) -> Refused:
    """412, with the operation whose precondition does not hold, and the revision its key is at: 0 if there is none."""
    index = [change.key for change in changes].index(failed.key)
    extensions = (("index", index), ("key", failed.key), ("mod_revision", failed.current))
    # No ETag: it would be one of the batch's own address.
    return Refused(replace(problem_for(failed), headers=(), extensions=extensions))


def _operations(outline: Outline) -> list[Operation]:
    if not outline.is_one_list:
        raise _refusal('a batch is {"operations": [...]} and nothing else')
    if not 1 <= len(outline.operations) <= MAX_OPERATIONS:
        raise _refusal(f"it must have 1 to {MAX_OPERATIONS} operations")
    return outline.operations


def _change(operation: Operation) -> Change:
    fields = operation.fields
    if operation.opening != "{":
        raise _refusal('an operation is an object such as {"op": "delete", "key": "a"}')
    op = _text(fields, "op")
    if op not in _FIELDS:
        raise _refusal(f"op must be put or delete, not {_shown(op)}")
    unknown = [name for name in fields if name not in _FIELDS[op]]
    if operation.unknown is not None or unknown:
        name = unknown[0] if operation.unknown is None else operation.unknown
        raise _refusal(f"{_shown(name)} is unknown; known in a {op}: {', '.join(_FIELDS[op])}")
    key, precondition = check_key(_text(fields, "key")), _precondition(fields)
    return Delete(key, precondition) if op == "delete" else Put(key, _field(fields, "value").raw, precondition)


def _precondition(fields: Mapping[str, Part]) -> Precondition | None:
    if "if_none_match" in fields:
        if "if_match" in fields:
            raise _refusal("if_match and if_none_match contradict each other")
        if _text(fields, "if_none_match") != "*":
            raise _refusal('if_none_match must be "*": only if there is no such key')
        return MustBeAbsent()
    return _must_match(_text(fields, "if_match")) if "if_match" in fields else None


def _must_match(text: str) -> Precondition:
    if text == "*":
        return MustExist()
    if not _REVISION.fullmatch(text) or int(text) > MAX_REVISION:
        raise _refusal(f'if_match must be "*" or a revision such as "4", not {_shown(text)}')
    return MustBeAt(int(text))


def _text(fields: Mapping[str, Part], name: str) -> str:
    field = _field(fields, name)
    if field.opening != '"':
        raise _refusal(f"{name} must be a string")
    if field.end - field.start > LONGEST_TEXT:
        raise _refusal(f"{name} is a string of {field.end - field.start} bytes")
    text = field.string()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refusal(f"{name} has half of a surrogate pair in it") from None
    return text


def _field(fields: Mapping[str, Part], name: str) -> Part:
    if name not in fields:
        raise _refusal(f"{name} is missing")
    return fields[name]


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Lets a refusal say which operation it is about."""
    try:
        yield
    except Refused as refused:
        detail = f"Operation {index}: {refused.problem.detail}"
        raise Refused(replace(refused.problem, detail=detail, extensions=(("index", index),))) from None


def _shown(text: str) -> str:
    return ascii(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")


def _refusal(reason: str) -> Refused:
    return bad_request("invalid-batch", f"The batch can't be carried out: {reason}.")
