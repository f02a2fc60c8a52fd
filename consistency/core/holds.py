"""Which keys are held, by which intents, and what ends a hold (rules 16, 17).

Pure: no I/O, no clock. Belongs to one loop, as `LocalState` does; `keys` is replaced as a whole, so any thread may look
into it.

A key is held from the moment its intent is applied here. What is in memory of it stays, and is current until the
commit; but each read of it asks for a proof of its own. A hold ends by the version of its commit. One that was given up
has no such version: it ends when etcd shows no such intent any more. That has to be shown

    - at a revision at or after the intent's. 1. A batch is executed; 2. an intent is put, and applied here; 3. the
      batch's answer comes, and shows no intents: it is from before;
    - to who has applied all that was committed before. 1. A write is committed, and its intent deleted; 2. an answer
      shows no intent, and the version of the commit, which has not come here yet; 3. what is in memory is the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass

Revision = int

MOST_KEYS = 10_000
"""Keys held by name. Beyond them every key is held: that costs proofs, and wrongs nobody."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A guarded write that is under way (rule 16). keys: what it holds; None: every key."""

    nonce: str
    keys: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Fence:
    """An intent that was put, and its mod_revision: what its commit compares (rule 16)."""

    nonce: str
    revision: Revision


class _Everything(Container[str]):
    def __contains__(self, key: object) -> bool:
        return True


EVERYTHING: Container[str] = _Everything()
"""Holds every key."""


class Holds:
    """What is held, and by whom. keys: what is held now; None: nothing, which is nearly always so."""

    def __init__(self) -> None:
        self._intents: dict[str, tuple[Intent, Revision]] = {}  # by nonce; with where etcd was seen to have it
        self.keys: Container[str] | None = None

    def __contains__(self, key: str) -> bool:
        return self.keys is not None and key in self.keys

    @property
    def nonces(self) -> Collection[str]:
        """The intents that hold something."""
        return self._intents.keys()

    def begin(self, intents: Iterable[Intent], revision: Revision) -> None:
        """Hold the keys of these, which etcd was seen to have at `revision`; each for itself, beside all others."""
        for intent in intents:
            self._intents[intent.nonce] = (intent, revision)
        self._count()

    def release(self, nonce: str) -> None:
        """The version of its commit has been applied: what it held is named there."""
        if self._intents.pop(nonce, None) is not None:
            self._count()

    def shown(self, nonces: Collection[str], revision: Revision) -> None:
        """At `revision` etcd had these intents and no others, and all that was committed before is applied here."""
        gone = [nonce for nonce, (_, seen) in self._intents.items() if nonce not in nonces and seen <= revision]
        for nonce in gone:
            del self._intents[nonce]
        if gone:
            self._count()

    def start_over(self, intents: Iterable[Intent], revision: Revision) -> None:
        """Hold for these alone: whatever else is in memory is validated before it is served (rules 6 and 8)."""
        self._intents.clear()
        self.begin(intents, revision)

    def _count(self) -> None:
        held = [intent.keys for intent, _ in self._intents.values()]
        named = [keys for keys in held if keys is not None]
        if not held:
            self.keys = None
        elif len(named) < len(held) or sum(map(len, named)) > MOST_KEYS:
            self.keys = EVERYTHING
        else:
            self.keys = frozenset[str]().union(*named)
