"""The fleet's policy as a value: one JSON document under `P/policy`, and the parts that the protocol uses (rule 15).

Owns the reading of `guarded` and `history`. The rest of the document is its writer's affair, who also refuses a
malformed one. Pure: no I/O. A text that can't be read was put by somebody else: then every key counts as guarded, and
writes are refused until a policy is put that can be read (`fault` says what is wrong with this one).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from consistency.core.versions import Revision

LARGEST_POLICY = 256 * 1024
"""Bytes of a policy's text. A larger one is not read: it would hold the loop up."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of each key's history. keep: how many records; 0: none. max_bytes: of a document in a record."""

    keep: int = 20
    max_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy as it stood at one moment.

    text: the document, None if there is none. mod_revision: of `P/policy`, 0 if there is none: what write transactions
    compare. guarded: prefixes of the keys that are written in two steps (rule 16). history: what is kept of each key.
    fault: why the text can't be read, else "".
    """

    text: bytes | None
    mod_revision: Revision
    guarded: tuple[str, ...] = ()
    history: Kept = Kept()
    fault: str = ""

    @classmethod
    def none(cls) -> Policy:
        """The policy of a fleet that has none: nothing is guarded."""
        return cls(None, 0)

    @classmethod
    def read(cls, text: bytes, mod_revision: Revision) -> Policy:
        """The policy with this text. Never raises: see `fault`."""
        try:
            guarded, history = _understood(text)
        except (ValueError, RecursionError) as error:
            return cls(text, mod_revision, guarded=("",), fault=str(error) or type(error).__name__)
        return cls(text, mod_revision, guarded, history)

    def guards(self, key: str) -> bool:
        """Whether `key` is written in two steps, so that every read of it is linearizable."""
        return key.startswith(self.guarded)


def _understood(text: bytes) -> tuple[tuple[str, ...], Kept]:
    """Raises ValueError, which says what was found and what was expected."""
    if len(text) > LARGEST_POLICY:
        raise ValueError(f"it has {len(text):,} bytes; at most {LARGEST_POLICY:,} are read")
    loaded = json.loads(text)
    if not isinstance(loaded, dict):
        raise ValueError("it is no JSON object")
    guarded = loaded.get("guarded", [])
    if not isinstance(guarded, list) or not all(isinstance(prefix, str) for prefix in guarded):
        raise ValueError("guarded is no list of prefixes")
    history = loaded.get("history", {})
    if not isinstance(history, dict):
        raise ValueError("history is no JSON object")
    return tuple(guarded), Kept(_count(history, "keep", Kept().keep), _count(history, "max_bytes", Kept().max_bytes))


def _count(history: dict[str, Any], name: str, default: int) -> int:
    found = history.get(name, default)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"history.{name} is no number from 0 on")
    return found
