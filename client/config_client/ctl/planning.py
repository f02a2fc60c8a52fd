"""The changes that make the service have the documents of a folder: a plan, as a value. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config_client.core.model import Document, View
from config_client.core.requests import DeleteOperation, Operation, PutOperation
from config_client.errors import ConfigError

BLANKS = b" \t\n\r"
"""What may stand around a JSON text and is no part of it: a batch does not carry it, so it makes no difference."""

MOST_AT_ONCE = 100
"""Operations in one batch: the service's limit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document as it should be. is_meant: its value counts, not its bytes, since it was written as YAML."""

    value: bytes
    is_meant: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One document: what it is, and what it should be. None: there is none."""

    key: str
    before: Document | None
    after: bytes | None

    @property
    def sign(self) -> str:
        """+ for a new one, - for one that goes, ~ for one that changes."""
        return "+" if self.before is None else "-" if self.after is None else "~"

    @property
    def operation(self) -> Operation:
        """The part of a batch, guarded by what was seen."""
        at = self.before.mod_revision if self.before else 0
        return DeleteOperation(self.key, at) if self.after is None else PutOperation(self.key, self.after, at)


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs between the service at `revision` and what is wanted, in the order of the keys' bytes."""

    steps: tuple[Step, ...]
    revision: int


def planned_by(found: Any) -> Plan:
    """Return the plan of a rollback, as the service tells it. Raises ConfigError for one that can't be carried out."""
    if found["unknowable"]:
        first = found["unknowable"][0]
        raise ConfigError(
            f"it can't be told what {len(found['unknowable'])} of them were; {first['key']}: {first['why']}"
        )
    steps = [
        Step(each["key"], _planned_document(each["key"], each["before"]), _value_of(each["key"], each["after"]))
        for each in found["puts"]
    ]
    steps += [Step(each["key"], _planned_document(each["key"], each["before"]), None) for each in found["deletes"]]
    return Plan(tuple(sorted(steps, key=lambda step: step.key.encode())), found["revision"])


def _planned_document(key: str, found: dict[str, Any] | None) -> Document | None:
    return None if found is None else Document(key, _value_of(key, found), found["mod_revision"])


def _value_of(key: str, found: dict[str, Any]) -> bytes:
    """Raises ConfigError for a document that the plan doesn't show, since it is too large or no text."""
    if "value" not in found:
        raise ConfigError(f"{key}: the plan is too large to be shown; name a longer prefix")
    return bytes(found["value"].encode())


def plan_of(view: View, wanted: Mapping[str, Wanted], *, prune: bool) -> Plan:
    """Return what has to be done. prune: what is not wanted goes."""
    steps = [
        Step(key, view.documents.get(key), each.value)
        for key, each in wanted.items()
        if not _is_there(view.documents.get(key), each)
    ]
    if prune:
        steps += [Step(key, document, None) for key, document in view.documents.items() if key not in wanted]
    return Plan(tuple(sorted(steps, key=lambda step: step.key.encode())), view.revision)


def _is_there(found: Document | None, wanted: Wanted) -> bool:
    if found is None:
        return False
    if found.value.strip(BLANKS) == wanted.value.strip(BLANKS):
        return True
    return wanted.is_meant and json.dumps(found.json(), sort_keys=True) == json.dumps(
        json.loads(wanted.value), sort_keys=True
    )


def difference(step: Step) -> Iterator[str]:
    """Yield the lines of a unified difference. A document in one line is shown a member a line."""
    before = _lines(step.before.value if step.before else None)
    after = _lines(step.after)
    if before == after and step.before is not None and step.after is not None:
        yield f"  {step.key}: the same value, written otherwise"
        return
    old = f"{step.key} at {step.before.mod_revision}" if step.before else "nothing"
    new = step.key if step.after is not None else "nothing"
    yield from difflib.unified_diff(before, after, old, new, lineterm="")


def _lines(value: bytes | None) -> list[str]:
    if value is None:
        return []
    text = value.decode("utf-8", "replace")
    if "\n" not in text.strip():
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except ValueError:
            return text.splitlines()
    return text.splitlines()
