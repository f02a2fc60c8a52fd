"""A policy as writes go by it: which schema holds for a key, and whether a reason has to be given. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of the keys that start with `prefix`. text: the JSON Schema as it is written. index: its place in the
    list."""

    prefix: str
    text: bytes
    index: int

    @property
    def digest(self) -> bytes:
        """Names the text."""
        return sha256(self.text).digest()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a policy asks of a write. What is guarded, and what is kept, is the protocol's to read (rule 15)."""

    schemas: tuple[Schema, ...] = ()
    reason_required: tuple[str, ...] = ()

    def schema_for(self, key: str) -> Schema | None:
        """The one with the longest prefix counts, alone. None: whatever is JSON may stand there."""
        holding = (schema for schema in self.schemas if key.startswith(schema.prefix))
        return max(holding, key=lambda schema: len(schema.prefix), default=None)


NO_RULES = Rules()
"""The rules of a fleet without a policy."""


def reason_missing(rules: Rules, keys: Iterable[str], reason: str) -> str | None:
    """The first of the keys that may be changed only by who says why, if no reason is given; None if all is well."""
    if reason.strip():
        return None
    return next((key for key in keys if key.startswith(rules.reason_required)), None)
