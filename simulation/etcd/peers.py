"""One member as raft sees it. Values that change; decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Peer:
    """One member, as the others see it. `applied` counts entries."""

    index: int
    name: str
    running: bool = True
    paused: bool = False
    applied: int = 0
    in_touch: bool = True
    """Whether it can talk to a leader that can talk to most."""
    knows_leader_until: float = float("inf")
    waiting: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    """For an entry to be applied here."""
    on_applied: Callable[[], object] = lambda: None
    on_leaderless: Callable[[], object] = lambda: None

    @property
    def able(self) -> bool:
        """Whether it does anything."""
        return self.running and not self.paused
