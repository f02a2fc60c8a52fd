"""What one instance knows of itself. Frozen, without I/O."""

from __future__ import annotations

from dataclasses import dataclass

from consistency.core.members import Departure, Member
from consistency.core.versions import Revision


@dataclass(frozen=True, slots=True)
class Status:
    """What one instance knows of itself at one moment.

    why_not_ready: empty when reads and writes can be expected to work, else one sentence for an operator.
    why_not_routed: empty when requests may be sent here if nobody is ready: etcd has answered once, so that there is
    something to tell, be it what was last known. Else one sentence.
    slot: 0 to 63, or None when this instance serves uncached.
    proof_age: seconds since the last proof; None before the first.
    fresh: whether hits are allowed now (rule 3's clock clause).
    lease_age: seconds since the lease of the slot was granted or renewed; None without a slot.
    departed: who has gone within the last hour, the latest first.
    waiting: who waits for a slot. lease: the one that holds our slot, or our place among those who wait; 0: neither.
    loop_lag: seconds by which the loop was late at worst, of late.
    """

    why_not_ready: str
    slot: int | None
    horizon: Revision
    proof_age: float | None
    fresh: bool
    entries: int
    bytes: int
    watch_up: bool
    members: tuple[Member, ...]
    lease_age: float | None = None
    departed: tuple[Departure, ...] = ()
    waiting: tuple[Member, ...] = ()
    lease: int = 0
    why_not_routed: str = ""
    loop_lag: float = 0.0

    @property
    def present(self) -> tuple[Member, ...]:
        """Every instance that is known here, those that wait for a slot last."""
        return self.members + self.waiting

    @property
    def me(self) -> Member | None:
        """This instance among them; None if the others don't see it."""
        return next((member for member in self.present if member.lease == self.lease), None) if self.lease else None
