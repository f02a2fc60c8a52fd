"""The version key as values: what a write puts there, how it stood, what the watch tells. Frozen, without I/O."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from consistency.core.authors import UNSIGNED, Authors
from consistency.core.holds import Intent

Revision = int
"""An etcd store revision. 0 stands for "none": etcd counts from 1."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """The version key as it stood at some revision: what two observers compare to know that they agree.

    `nonce` tells two histories apart that gave the same number to different writes (rule 8).
    """

    revision: Revision  # mod_revision
    created: Revision  # create_revision
    count: int  # etcd's per-key `version`: +1 for each write, so that a lost event shows
    nonce: str


NO_VERSION = VersionState(revision=0, created=0, count=0, nonce="")
"""The version key does not exist."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """What a write puts under the version key.

    `names` are the keys changed by the same transaction; None means "anything may have changed". `authors`: who wrote
    them, for those who are told; instances that don't know this member pass it over. `policy`: it has put another
    policy (rule 15). `kept`: each change has left a record (rule 19). `intent`: it has put this intent, and names no
    key yet (rule 16). `release`: it is the commit of the intent with this nonce.
    """

    nonce: str
    names: frozenset[str] | None
    op: str
    ack: bool = False
    authors: Authors = UNSIGNED
    policy: bool = False
    kept: bool = False
    intent: Intent | None = None
    release: str = ""

    def encode(self) -> bytes:
        """The JSON stored under `P/version`."""
        names = None if self.names is None else sorted(self.names)
        record: dict[str, Any] = {"nonce": self.nonce, "keys": names}
        if self.intent is not None:  # here, where a long list of names is read name by name
            record["hold"] = None if self.intent.keys is None else sorted(self.intent.keys)
            record["intent"] = self.intent.nonce
        record |= {"op": self.op, "ack": self.ack}
        if self.authors.parts:
            record["authors"] = self.authors.encoded(names or ())
        if self.policy:
            record["policy"] = True
        if self.kept:
            record["kept"] = True
        if self.release:
            record["release"] = self.release
        return json.dumps(record).encode()

    @classmethod
    def decode(cls, raw: bytes) -> VersionRecord:
        """Reads what `encode` wrote. Anything else, such as a value put by hand, means that all may have changed.

        A value that would take long to read means the same: the loop must not wait for it.
        """
        try:
            loaded = json.loads(raw) if len(raw) <= QUICK else _read_large(raw)
            nonce, names, op = loaded["nonce"], loaded["keys"], loaded.get("op", "")
            if not (isinstance(nonce, str) and isinstance(op, str) and (names is None or _are_names(names))):
                raise ValueError("not as it is written here")
            known = None if names is None else frozenset(names)
            authors = Authors.decoded(loaded.get("authors"), names or ())
            ack, policy, kept = (bool(loaded.get(name, False)) for name in ("ack", "policy", "kept"))
            intent, release = _intent(loaded), loaded.get("release", "")
            if not isinstance(release, str):
                raise ValueError("not as it is written here")
            return cls(nonce, known, op, ack, authors, policy, kept, intent, release)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls(nonce=f"unreadable:{raw[:64].hex()}", names=None, op="unreadable")


QUICK = 64 * 1024
"""Bytes of JSON that are read within a millisecond, whatever they are made of."""

LARGEST = 320 * 1024
"""Bytes of the largest that is written here: 100 keys of 512 bytes, six bytes for each where JSON has to escape it."""

MOST_NAMES = 100
"""Names in a record that is larger than QUICK. Reading a few long ones is quick as well."""

_scan = json.JSONDecoder().raw_decode
_OPENING, _BETWEEN, _HELD, _CLOSING = '{"nonce": ', ', "keys": [', '], "hold": [', "], "


def _read_large(raw: bytes) -> dict[str, Any]:
    """Name by name, so that it ends where a record of ours would have ended. Raises ValueError for any other."""
    if len(raw) > LARGEST:
        raise ValueError("larger than any that is written here")
    text = raw.decode()
    nonce, at = _string_at(text, _after(text, _OPENING, 0))
    at = _after(text, _BETWEEN, at)
    holds = text.startswith(_HELD, at)
    if holds:
        at += len(_HELD)
    names: list[str] = []
    while len(names) < MOST_NAMES:
        name, at = _string_at(text, at)
        names.append(name)
        if not text.startswith(", ", at):
            break
        at += len(", ")
    at = _after(text, _CLOSING, at)
    if len(text) - at > QUICK:
        raise ValueError("more than is written here")
    named = {"keys": [], "hold": names} if holds else {"keys": names}
    return {**json.loads("{" + text[at:]), "nonce": nonce, **named}


def _after(text: str, expected: str, at: int) -> int:
    if not text.startswith(expected, at):
        raise ValueError("not in the order in which it is written here")
    return at + len(expected)


def _string_at(text: str, at: int) -> tuple[str, int]:
    if not text.startswith('"', at):
        raise ValueError("no name")
    found, end = _scan(text, at)
    return str(found), end


def _intent(loaded: dict[str, Any]) -> Intent | None:
    if "intent" not in loaded:
        return None
    nonce, held = loaded["intent"], loaded["hold"]
    if not (isinstance(nonce, str) and (held is None or _are_names(held))):
        raise ValueError("not as it is written here")
    return Intent(nonce, None if held is None else frozenset(held))


def _are_names(found: object) -> bool:
    """Whether it is a list of what keys can be called: a surrogate that stands for no byte can't be asked for."""
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return False
    "".join(found).encode("utf-8", "surrogateescape")
    return True


def new_nonce() -> str:
    """128 random bits, in hex."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class VersionEvent:
    """One change of the version key, seen by the watch. A deletion has `state.count` 0."""

    state: VersionState
    names: frozenset[str] | None
    ack: bool = False
    op: str = ""
    authors: Authors = UNSIGNED
    policy: bool = False
    kept: bool = False
    intent: Intent | None = None
    release: str = ""
