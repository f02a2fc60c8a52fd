"""Rules 2 to 11 as decisions over values: may this entry be served, is this answer a proof, is this history ours?

Pure: no I/O, no clock; the time is an argument. Belongs to one loop, as `LocalState` does.
A method named as a question (`decide`, `judge`) changes nothing; the others say what they change.

The one idea: all content under `P/config/` is a function of the version key's state, since every write puts it in the
same transaction. So an instance that has applied the version state which a linearizable read shows has applied
everything that was committed before that read was sent, and all its entries that no event named are current.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from typing import assert_never

from consistency.core.decisions import (
    Ahead,
    AwaitHorizon,
    Backwards,
    Bypass,
    Confirm,
    Decision,
    Elsewhere,
    Lineage,
    Load,
    NotMember,
    Proof,
    SameHistory,
    Serve,
    Ticket,
    Unprovable,
    Unproven,
    Validate,
    Verdict,
    Window,
)
from consistency.core.known import NAMES_REMEMBERED, Entry, History, OwnWrites, Standing
from consistency.core.model import NO_VERSION, Demand, Revision, VersionEvent
from consistency.core.store import Header, ReadAnswer, Survey

DEPARTURES_REMEMBERED = 16
"""Bound on the slots lost whose last proofs are kept. What was validated before is not served as the last known."""


class Freshness:
    """What this instance knows to be current.

    horizon: every version event up to this revision is applied.
    floor: nothing validated before it is trusted without asking.
    known_from: nothing validated before it is served even if etcd can't be asked: it may have changed, for all we know.
    fresh_until: local seconds until which hits are allowed; 0.0 when they are not.
    proved_at: local seconds at which the last proof was sent; None before the first.
    complete_at: what was committed before is applied here, slot or no slot (rule 18); None before the first proof.
    seen: the highest header revision seen.
    histories: how many were given up for another one (rule 8).
    slot, lease: our membership; None and 0 without one.
    """

    def __init__(self, bound: float, max_age: float, remember: int = NAMES_REMEMBERED) -> None:
        self._bound = bound
        self._max_age = max_age
        self._remember = remember
        self.epoch = 0
        self.histories = 0
        self.slot: int | None = None
        self.lease = 0
        self.own_writes = OwnWrites()
        self._forget()

    def _forget(self) -> None:
        self.history = History(NO_VERSION, remember=self._remember)
        self.cluster = 0
        self.seen: Revision = 0
        self.horizon: Revision = 0
        self.floor: Revision = 0
        self.known_from: Revision = 0
        self._left: deque[tuple[Revision, float]] = deque()  # the floor of each slot lost, when its last proof was sent
        self.fresh_until = 0.0
        self.proved_at: float | None = None
        self.complete_at: float | None = None

    # Reading (rules 3, 10, 13)

    def decide(self, entry: Entry | None, now: float, min_revision: Revision = 0, *, confirm: bool = False) -> Decision:
        """What a read of a key with this entry needs. `confirm`: a proof of its own, however young the last (rule 11).

        A read that has such a proof gives as `now` the moment at which it was sent.
        """
        if not self.lease:
            return Bypass()
        if entry is None or now - entry.loaded_at > self._max_age:
            return Load()
        if entry.stale or entry.validated_at < self.floor:
            return Validate(entry, self.epoch)
        if self.horizon < min_revision:
            return AwaitHorizon()
        if confirm or now >= self.fresh_until:
            return Confirm()
        return Serve(entry, self.horizon, age=now - (self.fresh_until - self._bound))

    def window(self, held: Container[str] | None = None) -> Window:
        """The values by which `decide` serves, for threads that can't ask it; also the held keys (rule 17)."""
        return Window(self.floor, self.horizon, self.fresh_until - self._bound, self.fresh_until, self._max_age, held)

    def last_known(self, entry: Entry | None, now: float, demand: Demand) -> Serve | None:
        """The entry to serve although nothing can be proven: it was current at the last proof that covers it.

        Never an entry that is known to have changed since, or that may have changed by a missed event (rule 6), or that
        is older than the session (rule 10). The loss of a slot is no reason: events go on marking what they name.
        """
        asked = demand.use_cache and demand.stale_if_error > 0
        if not asked or entry is None or entry.stale or entry.validated_at < self.known_from:
            return None
        proved_at = self._covered_at(entry)
        if proved_at is None or self.horizon < demand.min_revision:
            return None
        age = now - proved_at
        return Serve(entry, self.horizon, age) if age <= self._bound + demand.stale_if_error else None

    def _covered_at(self, entry: Entry) -> float | None:
        """When the last proof was sent of the membership that the entry was validated in (rule 13)."""
        return next((proved_at for floor, proved_at in self._left if entry.validated_at < floor), self.proved_at)

    def overtaken(self, key: str, ticket: Ticket) -> bool:
        """Whether a load sent with this ticket may miss something applied, or written here, since (rules 5 and 14)."""
        return (
            ticket.epoch != self.epoch
            or ticket.horizon < self.floor
            or self.history.named_after(key, ticket.horizon)
            or self.own_writes.since(ticket.writes, key)
        )

    # Asking (rules 4, 5, 8)

    def ticket(self, now: float) -> Ticket:
        """To be drawn before a read is sent, never after."""
        return Ticket(now, self.epoch, self.horizon, self.seen, self.slot, self.lease, self.own_writes.over)

    def judge(self, ticket: Ticket, answer: ReadAnswer) -> Verdict:
        """What an answer to a read sent with this ticket is worth, as of what has been applied now."""
        if ticket.epoch != self.epoch:
            return Unproven()
        header = answer.header
        if detail := self.contradiction(ticket, header):
            return Backwards(detail)
        if not self.history.applied.count:
            return Unproven()  # no watch has been up yet
        standing = self.history.standing(answer.version, header.revision)
        match standing:
            case Standing.FOREIGN:
                return Backwards(f"revision {header.revision} shows the version of revision {answer.version.revision}")
            case Standing.FORGOTTEN:
                return Unproven()
            case Standing.AHEAD | Standing.OURS:
                if not ticket.lease or ticket.lease != self.lease:
                    return Unproven()
                if answer.member != ticket.lease:
                    return NotMember(answer.member)
                if standing is Standing.AHEAD:
                    return Ahead()
                # If the version is the last one applied, nothing lies between it and the header: the horizon rises.
                # If it is an older one of ours, the header is below the horizon.
                return Proof(ticket.sent_at + self._bound, max(self.horizon, header.revision))
            case _:
                assert_never(standing)

    def contradiction(self, ticket: Ticket, header: Header) -> str:
        """Why an answer to what was sent with this ticket is of another history by its header alone; else empty."""
        if ticket.epoch != self.epoch:
            return ""
        if self.cluster and header.cluster != self.cluster:
            return f"cluster {header.cluster:x} answered, not {self.cluster:x}"
        if header.revision < ticket.seen:
            return f"revision {header.revision} answered, {ticket.seen} had been seen before asking"
        return ""

    def fills(self, key: str, ticket: Ticket, answer: ReadAnswer) -> bool:
        """Whether what a proven answer says of the key is still current (rule 5)."""
        at = answer.header.revision
        if self.own_writes.since(ticket.writes, key, at):
            return False
        return ticket.epoch == self.epoch and at >= self.floor and not self.history.named_after(key, at)

    def accept(self, ticket: Ticket, proof: Proof) -> None:
        """Takes over what a proof allows."""
        self.fresh_until = max(self.fresh_until, proof.fresh_until)
        self.proved_at = max(self.proved_at or ticket.sent_at, ticket.sent_at)
        self.horizon = proof.horizon

    def note(self, ticket: Ticket, header: Header) -> None:
        """Remembers the header of an answer, unless it may belong to another history than this epoch's."""
        if ticket.epoch == self.epoch:
            self.cluster = self.cluster or header.cluster
            self.seen = max(self.seen, header.revision)

    def complete(self, ticket: Ticket, answer: ReadAnswer) -> bool:
        """Notes what an answer shows of silence (rule 18). It is no right to hit: that takes a slot, too (rule 3).

        Whether it shows any: all that was committed before the answer's revision is applied here.
        """
        foreign = ticket.epoch != self.epoch or self.contradiction(ticket, answer.header)
        if foreign or not self.history.applied.count:
            return False
        if self.history.standing(answer.version, answer.header.revision) is Standing.OURS:
            self.complete_at = max(self.complete_at or ticket.sent_at, ticket.sent_at)
            self.horizon = max(self.horizon, answer.header.revision)
            return True
        return False

    # Watching (rules 2, 6, 7, 8)

    def apply(self, event: VersionEvent) -> bool:
        """Applies an event, or returns False and changes nothing when one is missing before it (then: `rebase`)."""
        if not self.history.follows(event) or event.state.revision <= self.horizon:
            return False
        self.history.append(event)
        self.horizon = event.state.revision
        self.seen = max(self.seen, self.horizon)
        if event.names is None:
            self.floor = self.known_from = self.horizon
        return True

    def compare(self, ticket: Ticket, survey: Survey) -> Lineage:
        """Whether the history that a survey at our horizon shows goes on from ours (rules 6, 7, 8)."""
        if detail := self.contradiction(ticket, survey.header):
            return Elsewhere(detail)
        if not self.history.applied.count or survey.version_then is None:
            return Unprovable()
        if survey.version_then != self.history.applied:
            return Elsewhere(f"revision {ticket.horizon} bears another version than the one applied here")
        return SameHistory()

    def resume(self) -> None:
        """A new stream goes on after the horizon: what was under way over old connections proves nothing (rule 7)."""
        self.epoch += 1

    def rebase(self, survey: Survey, sent_at: float | None = None) -> None:
        """Starts anew from a survey: everything older has to be validated before it is served (rule 6).

        sent_at: local seconds before it was asked for: what was committed before is in what it starts from (rule 18).
        """
        self.epoch += 1
        self.history = History(survey.version, remember=self._remember)
        self.complete_at = sent_at
        self.horizon = self.floor = self.known_from = survey.header.revision
        self.fresh_until = 0.0
        self.cluster = survey.header.cluster
        self.seen = max(self.seen, survey.header.revision)

    def turn_back(self) -> None:
        """Forgets everything but the membership's name: the store is on another history (rule 8)."""
        self.epoch += 1
        self.histories += 1
        self._forget()

    # Belonging (rule 9)

    def join(self, slot: int, lease: int) -> None:
        """Holds a slot from now on. No window is open without one, so the first hit needs a proof that shows it."""
        self.slot, self.lease = slot, lease

    def leave(self) -> None:
        """Holds no slot any more: no hits. What is in memory is validated after joining again (rule 13).

        For perhaps nobody audits meanwhile. The claim is a write, hence of a revision above all that was seen: the
        first proof after it lifts the horizon past the floor.
        """
        self.slot, self.lease = None, 0
        self.fresh_until = 0.0
        self.floor = self.seen + 1
        if self.proved_at is not None:
            self._left.append((self.floor, self.proved_at))
        if len(self._left) > DEPARTURES_REMEMBERED:
            self.known_from = max(self.known_from, self._left.popleft()[0])

    def doubt(self) -> None:
        """No hits until the next proof."""
        self.fresh_until = 0.0
