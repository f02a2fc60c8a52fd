"""What a policy says, from its text; or all that is wrong with it. Pure.

    {"guarded": ["flags/"],
     "schemas": [{"prefix": "team/limits/", "schema": {"type": "object"}}],
     "history": {"keep": 20, "max_bytes": 65536},
     "reason_required": ["prod/"]}

Each member may be left out. Nothing is guessed: what is unknown, repeated or of another type is refused. Whether the
schemas are any is not seen here, since that may take its time (`service.policy.schemas`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator

from service.http.problems import Refused
from service.http.requests import check_prefix
from service.policy.faults import LONGEST, Fault, Faults, some_of, step
from service.policy.outline import Node, Outline
from service.policy.rules import Rules, Schema
from service.settings.names import nearest

MAX_BYTES = 256 * 1024
MOST = 256
"""Prefixes in each of the lists."""

MOST_KEPT = 1000
MOST_HISTORY_BYTES = 1024 * 1024

LISTS = ("guarded", "schemas", "reason_required")
MEMBERS = ("guarded", "schemas", "history", "reason_required")
OF_SCHEMA = ("prefix", "schema")
OF_HISTORY = {"keep": MOST_KEPT, "max_bytes": MOST_HISTORY_BYTES}

_LONGEST_PREFIX = 16 * 1024  # bytes of it as it is written
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


class Invalid(ValueError):
    """The text is no policy. `faults` says why."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("; ".join(f"{fault.pointer or '(all of it)'}: {fault.expected}" for fault in faults.listed))
        self.faults = faults


def rules_in(text: bytes) -> Generator[None, None, Rules]:
    """What `text` says, found in slices. Raises NotJson if it is no JSON document, Invalid if it is no policy."""
    outline = Outline(text, MOST + 1)
    yield from outline.drawn()
    return _rules(outline.root)


def _rules(root: Node) -> Rules:
    if faults := some_of(_faults(root)):
        raise Invalid(faults)
    members = {member.name: member for member in root.inner}
    return Rules(
        schemas=tuple(_schema(index, entry) for index, entry in enumerate(_inner(members, "schemas"))),
        reason_required=tuple(node.part.string() for node in _inner(members, "reason_required")),
    )


def _inner(members: dict[str, Node], name: str) -> tuple[Node, ...]:
    return members[name].inner if name in members else ()


def _schema(index: int, entry: Node) -> Schema:
    fields = {field.name: field.part for field in entry.inner}
    return Schema(fields["prefix"].string(), fields["schema"].raw, index)


def _faults(root: Node) -> Iterator[Fault]:
    if len(root.part.text) > MAX_BYTES:
        yield Fault("", f"at most {MAX_BYTES} bytes, not {len(root.part.text)}")
    elif root.opening != "{":
        yield Fault("", 'an object such as {"guarded": ["flags/"]}')
    else:
        yield from _unknown(root, MEMBERS, "")
        for member in root.inner:
            if member.name in LISTS:
                yield from _of_list(member)
            elif member.name == "history":
                yield from _of_history(member)


def _unknown(node: Node, known: Iterable[str], place: str) -> Iterator[Fault]:
    for member in node.inner:
        if member.name not in known:
            near = nearest(member.name, known)
            hint = f"; {near} is near" if near else ""
            yield Fault(place + step(_shown(member.name)), f"no such member; known here: {', '.join(known)}{hint}")


def _of_list(node: Node) -> Iterator[Fault]:
    place = step(node.name)
    if node.opening != "[":
        yield Fault(place, "a list")
    elif len(node.inner) > MOST:
        yield Fault(place, f"at most {MOST} entries")
    else:
        of_one = _of_schema if node.name == "schemas" else _of_prefix
        first: dict[str, int] = {}
        for index, entry in enumerate(node.inner):
            here = place + step(index)
            faults = list(of_one(entry, here))
            yield from faults
            if not faults:
                prefix = (_field(entry, "prefix") or entry).part.string()
                if (twin := first.setdefault(prefix, index)) != index:
                    yield Fault(here, f"a prefix of its own; entry {twin} has {_quoted(prefix)}, too")


def _field(node: Node, name: str) -> Node | None:
    return next((field for field in node.inner if field.name == name), None)


def _of_schema(node: Node, place: str) -> Iterator[Fault]:
    if node.opening != "{":
        yield Fault(place, 'an object such as {"prefix": "team/", "schema": {"type": "object"}}')
        return
    yield from _unknown(node, OF_SCHEMA, place)
    for name in OF_SCHEMA:
        field = _field(node, name)
        if field is None:
            yield Fault(place, f"a member {name}")
        elif name == "prefix":
            yield from _of_prefix(field, place + step(name))
        elif field.opening not in "{tf":
            yield Fault(place + step(name), "a JSON Schema: an object, true or false")


def _of_prefix(node: Node, place: str) -> Iterator[Fault]:
    if node.opening != '"' or node.part.end - node.part.start > _LONGEST_PREFIX:
        yield Fault(place, "a string with which keys start, such as team/")
        return
    try:
        check_prefix(node.part.string())
    except Refused as refused:
        yield Fault(place, f"a string with which keys can start. {refused.problem.detail}")
    except UnicodeEncodeError:
        yield Fault(place, "a string with which keys can start, without half of a surrogate pair")


def _of_history(node: Node) -> Iterator[Fault]:
    place = step(node.name)
    if node.opening != "{":
        yield Fault(place, 'an object such as {"keep": 20, "max_bytes": 65536}')
        return
    yield from _unknown(node, OF_HISTORY, place)
    for member in node.inner:
        if member.name in OF_HISTORY:
            most, written = OF_HISTORY[member.name], member.part.raw[:20].decode("ascii", "replace")
            if not _NUMBER.fullmatch(written) or int(written) > most:
                yield Fault(place + step(member.name), f"a whole number from 0 to {most}, not {_shown(written)}")


def _shown(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:LONGEST]


def _quoted(text: str) -> str:
    return json.dumps(_shown(text), ensure_ascii=False)
