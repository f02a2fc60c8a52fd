"""Small histories written down by hand, each with the truth that belongs to it. For tests of the checker. Pure."""

from __future__ import annotations

from typing import Any

from consistency.core.model import VersionRecord
from torture.checker import check
from torture.followed import Told
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.truth import DOCUMENTS, VERSION, Change, Truth
from torture.violations import Violation

BOUND = 1.0
LATENCY = 0.01
"""Seconds that an operation takes, half of them before it has effect."""


class Story:
    """Operations are told in the order of their effect; `when` is when they are invoked, in seconds."""

    def __init__(self) -> None:
        self.history: list[Operation] = []
        self.changes: list[Change] = []
        self.followed: list[Told] = []
        self.revision = 1
        self._count = 0

    # --- what etcd does

    def change(self, when: float, *changes: tuple[str, str | None]) -> int:
        """One transaction with its version; its revision."""
        self.revision += 1
        self._count += 1
        seen = when + LATENCY / 2
        for key, value in changes:
            self.changes.append(Change(self.revision, DOCUMENTS + key, value, 0 if value is None else 1, seen))
        record = VersionRecord(f"nonce-{self.revision}", frozenset(key for key, _ in changes), "put").encode().decode()
        self.changes.append(Change(self.revision, VERSION, record, self._count, seen))
        return self.revision

    # --- what clients see

    def put(self, key: str, value: str, when: float, *, effect: bool = True, **more: Any) -> Operation:
        """A write that was acknowledged, unless `more` says otherwise."""
        at = self.change(when, (key, value)) if effect else 0
        return self.tell(Kind.PUT, key, when, **{"value": value, "status": 200, "modified": at, "revision": at, **more})

    def delete(self, key: str, when: float, *, effect: bool = True, **more: Any) -> Operation:
        """A delete that was acknowledged, unless `more` says otherwise."""
        at = self.change(when, (key, None)) if effect else self.revision
        return self.tell(Kind.DELETE, key, when, **{"status": 204, "revision": at, **more})

    def batch(self, when: float, *changes: tuple[str, str | None], **more: Any) -> Operation:
        """A batch that was acknowledged, unless `more` says otherwise."""
        return self.tell(Kind.BATCH, "", when, **{"batch": changes, "revision": self.change(when, *changes), **more})

    def read(self, key: str, when: float, *, at: int = 0, **more: Any) -> Operation:
        """A default read that holds at revision `at` (now, if none is given), from the memory of another instance."""
        at = at or self.revision
        found = Truth(self.changes).at(key, at)
        value = found.value if found else None
        answer = {"value": value, "modified": found.revision if found and value else 0, "status": 200 if value else 404}
        return self.tell(
            Kind.READ, key, when, **{"revision": at, "instance": 1, "cache": "HIT", "age": 1, **answer, **more}
        )

    def tell(self, kind: Kind, key: str, when: float, **more: Any) -> Operation:
        """Any operation."""
        fields: dict[str, Any] = {
            "number": len(self.history),
            "client": 1,
            "session": "",
            "remembers": Remembers.NOTHING,
            "instance": 0,
            "kind": kind,
            "level": Level.DEFAULT,
            "key": key,
            "value": None,
            "invoked": when,
            "returned": when + LATENCY,
            "outcome": Outcome.OK,
            **more,
        }
        if fields["outcome"] is not Outcome.OK:
            fields["revision"] = 0
        if fields["outcome"] is Outcome.REFUSED:
            fields.setdefault("refusing", key)
        self.history.append(Operation(**fields))
        return self.history[-1]

    def follow(self, when: float, *changes: tuple[str, str | None, int], **more: Any) -> Told:
        """What a follower of everything is told by a long poll, as of now; with a `reset` if it is the first word."""
        since = next((word.to for word in reversed(self.followed) if word.word == "told"), 0)
        fields: dict[str, Any] = {
            "follower": 1,
            "streams": False,
            "instance": 0,
            "prefixes": ("t/",),
            "keys": (),
            "word": "told",
            "invoked": when,
            "returned": when + LATENCY,
            "since": since,
            "to": self.revision,
            "reset": "" if since else "asked",
            "changes": changes,
            "age": 0.5,
            **more,
        }
        self.followed.append(Told(**fields))
        return self.followed[-1]

    # --- the verdict

    @property
    def truth(self) -> Truth:
        """What a watch of the harness would have seen."""
        return Truth(self.changes)

    def violations(self) -> list[Violation]:
        """What the checker says."""
        return check(self.history, self.truth, bound=BOUND, followed=self.followed)

    def found(self) -> set[tuple[str, frozenset[int]]]:
        """The names of the checks that found something, with the numbers of the offending operations."""
        return {(v.check, frozenset(operation.number for operation in v.operations)) for v in self.violations()}
