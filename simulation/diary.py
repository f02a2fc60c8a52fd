"""What an instance holds and what it has applied, told as it changes: for stories alone. Looks on, changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consistency.core.known import Kept
from consistency.core.model import NO_VERSION, VersionState
from simulation.instance import Instance
from simulation.life import Life
from simulation.owners import Owner


@dataclass(frozen=True, slots=True)
class Noted:
    """A line that concerns these keys; None: all of them."""

    keys: frozenset[str] | None
    text: str

    def __str__(self) -> str:
        return self.text


class Diary:
    """`tell` is told who, and a `Noted`."""

    def __init__(self, instances: Sequence[Instance], tell: Callable[[str, object], None]) -> None:
        self._instances = instances
        self._tell = tell
        self._pages: dict[Owner, Page] = {}

    def after_step(self, owner: Owner) -> None:
        """A callback of this process has just run."""
        page = self._pages.get(owner)
        if page is None:
            instance = next((each for each in self._instances if each.life and each.life.owner is owner), None)
            if instance is None or instance.life is None:
                return
            page = self._pages[owner] = Page(f"instance {instance.number}", instance.life, self._tell)
        page.look()


class Page:
    """Of one life."""

    def __init__(self, name: str, life: Life, tell: Callable[[str, object], None]) -> None:
        self._name = name
        self._state = life.cache._state
        self._tell = tell
        self._kept: dict[str, Kept] = {}
        self._applied: VersionState = NO_VERSION

    def look(self) -> None:
        """Tell what is another than at the last look: first what was applied, then what that made of the entries."""
        history = self._state._fresh.history
        if history.applied != self._applied:
            self._applied = history.applied
            names = history._events[-1].names if history._events else None
            told = "anything may have changed" if names is None else ", ".join(sorted(names))
            self._note(names, f"has applied revision {self._applied.revision}: {told}")
        kept = dict(self._state._entries._entries)
        for key in sorted(self._kept.keys() | kept.keys()):
            if kept.get(key) != self._kept.get(key):
                self._note(frozenset((key,)), f"holds {key}: {_told(kept[key])}" if key in kept else f"forgets {key}")
        self._kept = kept

    def _note(self, keys: frozenset[str] | None, text: str) -> None:
        self._tell(self._name, Noted(keys, text))


def _told(kept: Kept) -> str:
    value, mod_revision, validated_at, _, stale = kept
    what = "absent" if value is None else f"{value.decode()} of {mod_revision}"
    return f"{what}, current as of {validated_at}{'; it has changed since' if stale else ''}"
