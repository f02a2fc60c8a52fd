"""A history of transactions, and what a service tells of it: the model that the client is compared with.

Written apart from the client: a list of states, and the events of text/event-stream as openapi.yaml has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

PAGE = 2
"""Keys in a page of a snapshot."""


def event(name: str, data: Mapping[str, object] | None = None, *, retry: int | None = None, token: str = "") -> bytes:
    """One event as it stands on the wire."""
    lines = [f"event: {name}"]
    if token:
        lines.append(f"id: {token}")
    if retry is not None:
        lines.append(f"retry: {retry}")
    lines.append(f"data: {json.dumps(data or {})}")
    return ("\n".join(lines) + "\n\n").encode()


class ScriptedHistory:
    """States by revision, from 1 on. `nonce` is of the timeline: a restore begins another."""

    def __init__(self) -> None:
        self.nonce = "a"
        self.states: list[dict[str, tuple[bytes, int]]] = [{}]  # the state at revision 1 is the first
        self.timelines: dict[tuple[str, int], dict[str, tuple[bytes, int]]] = {("a", 1): {}}

    @property
    def revision(self) -> int:
        """The newest."""
        return len(self.states)

    def write(self, changes: Mapping[str, bytes | None]) -> None:
        """One transaction: None deletes."""
        state = dict(self.states[-1])
        for key, value in changes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = (value, self.revision + 1)
        self.states.append(state)
        self.timelines[self.nonce, self.revision] = state

    def restore(self, revision: int) -> None:
        """An older backup: what came after `revision` is lost, and another timeline begins."""
        del self.states[revision:]
        self.nonce = chr(ord(self.nonce) + 1)
        for at, state in enumerate(self.states, 1):
            self.timelines[self.nonce, at] = state

    def token(self, revision: int, place: int = 0) -> str:
        """What stands for a revision; `place` within a snapshot."""
        return f"{revision}-{self.nonce}" + (f"-{place}" if place else "")

    def at(self, token: str) -> dict[str, tuple[bytes, int]]:
        """The state that a token stands for."""
        revision, nonce = token.split("-")[:2]
        return self.timelines[nonce, int(revision)]

    def is_foreign(self, token: str) -> bool:
        """Whether a token is of a timeline that was lost."""
        return bool(token) and (token.split("-")[1] != self.nonce or int(token.split("-")[0]) > self.revision)

    def tell(self, after: str, *, reset: bool, age: float | None = 0.5) -> Iterator[bytes]:
        """Events after a token up to the newest; reset: as a snapshot in pages."""
        revision, *rest = (after or "0-").split("-")
        place = int(rest[1]) if len(rest) > 1 else 0
        if reset or not after or place:
            at = int(revision) if place else self.revision
            if not place:
                yield event("reset", {"revision": at})
            state = sorted(self.states[at - 1].items())
            while True:
                for key, (value, mod) in state[place : place + PAGE]:
                    yield event("put", {"key": key, "mod_revision": mod, "value": value.decode()})
                place += PAGE
                more = place < len(state)
                yield self.sync(at, age, more=more, place=place if more else 0)
                if not more:
                    break
            revision = str(at)
        for at in range(int(revision) + 1, self.revision + 1):
            before, now = self.states[at - 2], self.states[at - 1]
            for key in sorted(before.keys() | now.keys()):
                if key in now and before.get(key) != now[key]:
                    yield event("put", {"key": key, "mod_revision": now[key][1], "value": now[key][0].decode()})
                elif key not in now:
                    yield event("delete", {"key": key, "mod_revision": at})
            yield self.sync(at, age, more=at < self.revision)

    def sync(self, revision: int, age: float | None, *, more: bool = False, place: int = 0) -> bytes:
        """A sync event."""
        token = self.token(revision, place)
        return event("sync", {"to": token, "revision": revision, "age": age, "more": more}, token=token)
