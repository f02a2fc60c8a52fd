"""What is held: documents at one revision, and how sure it is that they are the newest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """A document, byte for byte as it was written, by the write at `mod_revision`."""

    key: str
    value: bytes
    mod_revision: int

    def json(self) -> Any:
        """Return the value, parsed anew."""
        return json.loads(self.value)


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a change, by the name of the token, and why; "" is not known."""

    by: str = ""
    why: str = ""


NOBODY = Author()
"""Nothing is known of who it was."""


def _nothing() -> Mapping[str, Document]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """All documents of the scope at one revision. Never changed: the next one takes its place.

    token: from where the service can tell what has changed since; "" before the first snapshot.
    """

    documents: Mapping[str, Document] = field(default_factory=_nothing)
    token: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is held was the newest `age` seconds ago: an instance has proven it.

    invalid: names whose newest document its type refuses, so that an earlier one is served.
    """

    age: float
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """An instance is listened to, but can't prove that nothing newer exists. `age`, `invalid` as of `Fresh`."""

    age: float
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """No instance can be listened to; `why`. `age`, `invalid` as of `Fresh`; `age` is infinite before the first."""

    age: float
    why: str
    invalid: tuple[str, ...] = ()


State = Fresh | Stale | Lost
