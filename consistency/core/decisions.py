"""What is decided about freshness, as frozen values: what a read needs, what an answer is worth, whose history it is.

Pure. `Freshness` decides, `Reads`, `LocalState` and `VersionWatch` act; each of them closes its match by `assert_never`
or names every case.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from consistency.core.known import Entry
from consistency.core.model import Revision


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was known when a read was sent. An answer is judged against it, never against what was learned since.

    sent_at: local seconds before the send (rule 4's t0).
    epoch: the stretch of certainty it belongs to; answers of an earlier one prove and fill nothing (rules 6, 7).
    horizon, seen: revisions applied and seen in headers by then (rules 14 and 8).
    slot, lease: our membership by then; slot None and lease 0 without one.
    writes: how many writes made here were over by then (rule 5).
    """

    sent_at: float
    epoch: int
    horizon: Revision
    seen: Revision
    slot: int | None
    lease: int
    writes: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """What of an instance's freshness a hit needs, as it stood at one moment; replaced as a whole (rule 3).

    floor, horizon: what was validated between these revisions, and is not stale, is current as of `horizon`.
    proved_at: local seconds at which the proof was sent that the window rests on. until: hits are allowed before; 0.0
    when they are not. max_age: seconds after which a value is loaded whole again. held: the keys that are held; None:
    none is (rule 17).
    """

    floor: Revision
    horizon: Revision
    proved_at: float
    until: float
    max_age: float
    held: Container[str] | None = None

    def admits(self, entry: Entry, now: float, min_revision: Revision) -> bool:
        """Whether `Freshness.decide` would serve this entry at once; the shortest way to say so."""
        return (
            now < self.until
            and not entry.stale
            and self.floor <= entry.validated_at <= self.horizon
            and min_revision <= self.horizon
            and now - entry.loaded_at <= self.max_age
        )


# What to do for a read: see Freshness.decide.


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from memory, now (rule 3). `revision`: the answer holds as of it. `age`: seconds since the proof was
    sent."""

    entry: Entry
    revision: Revision
    age: float


@dataclass(frozen=True, slots=True)
class Confirm:
    """The entry is good but the clock's proof has run out: a batch without a range will do (rule 4)."""


@dataclass(frozen=True, slots=True)
class AwaitHorizon:
    """The session has seen more than this instance has applied: wait briefly for the watch, then confirm (rule 10)."""


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask etcd for the value only if it is newer than this entry's (rule 4), which is held in this epoch."""

    entry: Entry
    epoch: int


@dataclass(frozen=True, slots=True)
class Load:
    """Ask etcd for the value."""


@dataclass(frozen=True, slots=True)
class Bypass:
    """This instance holds no slot and must not cache (rule 9)."""


Decision = Serve | Confirm | AwaitHorizon | Validate | Load | Bypass


# What an answer is worth: see Freshness.judge.


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything committed before the read was sent has been applied here: hits are allowed until `fresh_until`."""

    fresh_until: float
    horizon: Revision


@dataclass(frozen=True, slots=True)
class Ahead:
    """The store is ahead of the watch: judge again when more has been applied."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """A true answer to its readers, but it proves and fills nothing."""


@dataclass(frozen=True, slots=True)
class NotMember:
    """The slot we held when asking is not ours. `holder` is the lease that has it, 0 if it is free."""

    holder: int


@dataclass(frozen=True, slots=True)
class Backwards:
    """The answer belongs to another history than ours (rule 8)."""

    detail: str


Verdict = Proof | Ahead | Unproven | NotMember | Backwards


# Where a survey's history stands to ours: see Freshness.compare.


@dataclass(frozen=True, slots=True)
class SameHistory:
    """At our horizon it shows our version state, nonce included: everything applied here happened there."""


@dataclass(frozen=True, slots=True)
class Unprovable:
    """Our horizon is compacted away, or there is none yet."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """It is another history: the cluster was restored from a backup, or is another cluster."""

    detail: str


Lineage = SameHistory | Unprovable | Elsewhere
