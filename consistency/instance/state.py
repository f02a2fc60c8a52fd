"""The state of one instance. It belongs to one loop, so no lock guards it: a method is over before another begins.

Owns freshness, entries, and whether the store answers. Performs no I/O; calls the observer only when a change is
complete, and awaits nothing in the middle of one.

Hits alone may come from any thread. They go by a `Window`, published when a change is complete. A hit that finds the
same window before and after reading an entry has seen both as they were at one moment:

    1. a hit on another thread reads window W,
    2. an event names its key: on the loop the horizon rises and the entry becomes stale,
    3. the hit reads the entry. If it came before the mark, it may serve it: as of W's horizon, it is current;
    4. window W' is published. Published before the mark, a hit could claim the new horizon for the old value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import TracebackType
from typing import assert_never

from consistency.core.decisions import (
    Ahead,
    Backwards,
    Decision,
    Elsewhere,
    NotMember,
    Proof,
    SameHistory,
    Serve,
    Ticket,
    Unprovable,
    Unproven,
    Verdict,
)
from consistency.core.events import Event, Evicted, Invalidated, Joined, Left, Observer, TimeWentBackwards
from consistency.core.freshness import Freshness
from consistency.core.holds import Holds
from consistency.core.known import Entry, NearCache
from consistency.core.model import Demand, MemberEvent, Policy, Reading, Revision, Source, VersionEvent, VersionState
from consistency.core.options import CacheOptions
from consistency.core.store import Found, Header, InForce, StoreError, Survey, Unavailable
from consistency.instance.read_batches import Need, Part
from consistency.instance.snapshots import Snapshot, Start
from consistency.instance.state_of_changes import Follow, StateOfChanges, nobody
from consistency.instance.state_of_holds import StateOfHolds
from consistency.tasks import Broadcast

DEFAULT = Demand()

FOREVER: Revision = 1 << 63
"""Above every revision: what is invalidated by it is stale whatever it was validated at."""


class _Changing:
    """One change: on the way out hits learn what to go by, and then the observer what has happened."""

    def __init__(self, publish: Callable[[], None], tell: Callable[[], None]) -> None:
        self._publish = publish
        self._tell = tell

    def __enter__(self) -> None:
        """Nothing to do: the loop does nothing else meanwhile."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._publish()
        self._tell()


class LocalState(StateOfChanges, StateOfHolds):
    """Everything an instance knows. For its loop alone, but for `hit`, which any thread may call.

    answered_at: local seconds at which the last batch was sent that the store has answered. last_error: what the last
    one said that it has not answered.
    """

    def __init__(self, options: CacheOptions, observer: Observer, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._clock = clock
        self._moved = Broadcast()  # the horizon, the epoch or the watch changed
        self._fresh = Freshness(options.staleness_bound, options.max_age, options.names_remembered)
        self._entries = NearCache(options.max_entries, options.max_bytes)
        self._policy = InForce(Header(0, 0), Policy.none())  # the last one read
        self._policy_changed: Revision = 0  # by the last version that told of another one
        self._holds = Holds()
        self._watch_up = False
        self._follow: Follow = nobody
        self._renewed_at = 0.0  # local seconds, as all times here
        self._down_for = options.timeout + options.staleness_bound  # seconds for which the store is taken for down
        self._down = False  # the last batch got no answer
        self._proving_at = 0.0  # when the prover last asked
        self.answered_at: float | None = None
        self.last_error = "calls are waiting for it"
        self._happened: list[Event] = []  # for the observer, when the change is complete
        self._window = self._fresh.window()  # read by any thread
        self._changing = _Changing(self._publish, self._tell)

    def _publish(self) -> None:
        self._window = self._fresh.window(self._holds.keys)

    # Reading

    def hit(self, key: str, min_revision: Revision = 0) -> Reading | None:
        """What `decide` would serve at once, found from any thread (rules 3, 10, 13, 17). None: not sure; it knows."""
        window, entry = self._window, self._entries.get(key)
        if entry is None or (window.held is not None and key in window.held):
            return None
        now = self._clock()
        if not window.admits(entry, now, min_revision) or window is not self._window:
            return None
        return Reading(entry.value, entry.mod_revision, window.horizon, Source.HIT, now - window.proved_at)

    def decide(self, key: str, demand: Demand = DEFAULT, *, at: float | None = None) -> Decision:
        """What a read of `key` needs (rules 3, 11, 17). `at`: when the proof was sent that it asked for itself."""
        entry = self._entries.get(key)
        if at is not None:
            return self._fresh.decide(entry, at, demand.min_revision)
        held = self._holds.keys
        confirm = demand.linearizable or (held is not None and key in held)
        return self._fresh.decide(entry, self._clock(), demand.min_revision, confirm=confirm)

    @property
    def holds_any(self) -> bool:
        """Whether any key is held (rule 17)."""
        return self._holds.keys is not None

    def last_known(self, key: str, demand: Demand) -> Serve | None:
        """The last that was proven of `key`, if the client takes it unproven (`stale_if_error`)."""
        return self._fresh.last_known(self._entries.get(key), self._clock(), demand)

    def ticket(self) -> Ticket:
        """Return a ticket. One is drawn before every read of the store."""
        return self._fresh.ticket(self._clock())

    def may_follow(self, key: str, ticket: Ticket, bound: float) -> bool:
        """Whether a default read may share a load that is on its way (rule 14).

        A read of a guarded key may not: the load's answer may be older than a write that is over, and no hold would
        have told of that. Nor may any read without a proof of now: writers do not wait for an instance that has none,
        and the key may have become guarded since.
        """
        now = self._clock()
        if self.may_be_guarded(key) or now >= self._fresh.fresh_until:
            return False
        return now < ticket.sent_at + bound and not self._fresh.overtaken(key, ticket)

    def settle(self, part: Part) -> Verdict:
        """Judges an answer, and takes over what it proves: the window, the horizon, the entries (rules 4, 5, 8, 9).

        Once for all readers of a batch: to each the verdict is what it was.
        """
        if part.verdict is not None:
            return part.verdict
        with self._changing:
            return self._settle(part)

    async def settle_within(self, part: Part, deadline: float) -> Verdict:
        """As `settle`, but while the store is ahead of a living watch, wait for the watch, until `deadline`."""
        verdict = self.settle(part)
        while isinstance(verdict, Ahead) and self._watch_up and await self._has_moved(deadline):
            verdict = self.settle(part)
        return verdict

    async def await_horizon(self, revision: Revision, deadline: float) -> None:
        """Wait until the watch has applied `revision`, the watch ends, or `deadline` (rule 10)."""
        while self._watch_up and self._fresh.horizon < revision and await self._has_moved(deadline):
            pass

    async def _has_moved(self, deadline: float) -> bool:
        return await self._moved.wait(deadline - self._clock())

    def tell_moved(self) -> None:
        """Wake who waits: something has been read that they need."""
        self._moved.tell()

    async def await_move(self, seconds: float) -> bool:
        """Wait until the horizon, the epoch or the watch has changed, or another proof has come; whether so."""
        return await self._moved.wait(seconds)

    def _settle(self, part: Part) -> Verdict:
        verdict = self._fresh.judge(part.ticket, part.answer)
        self._fresh.note(part.ticket, part.answer.header)
        if self._fresh.complete(part.ticket, part.answer) and part.answer.intents is not None:
            self._holds.shown(part.answer.intents, part.answer.header.revision)
        if isinstance(verdict, Ahead):
            return verdict  # not the last word
        part.verdict = verdict
        self._take_over(verdict, part)
        return verdict

    def _take_over(self, verdict: Proof | Unproven | NotMember | Backwards, part: Part) -> None:
        match verdict:
            case Proof():
                self._fresh.accept(part.ticket, verdict)
                self._fill(part)
                self._moved.tell()
            case NotMember(holder):
                self._leave("taken" if holder else "expired")
            case Backwards(detail):
                self._turn_back(detail)
            case Unproven():
                self._moved.tell()  # without a slot, too, silence may be proven now (rule 18)
            case _:
                assert_never(verdict)

    def _fill(self, part: Part) -> None:
        for key, (need, found) in part.finds.items():
            if need.fill and key is not None and self._fresh.fills(key, part.ticket, part.answer):
                self._learn(key, _learned(need, found, part.answer.header.revision, part.ticket.sent_at))

    def _learn(self, key: str, entry: Entry | None) -> None:
        if entry is None:
            self._entries.drop(key)
        elif evicted := self._entries.store(key, entry):
            self._happened.append(Evicted(evicted))

    # Writing

    def wrote(self, keys: Collection[str], header: Header, ticket: Ticket) -> None:
        """Our write of `keys` committed: don't wait for the watch to tell us that the entries are old."""
        with self._changing:
            if detail := self._fresh.contradiction(ticket, header):
                self._turn_back(detail)
            self._fresh.note(ticket, header)
            self._fresh.own_writes.note(keys, header.revision)
            self._invalidated("own write", self._mark(keys, header.revision))

    def may_have_written(self, keys: Collection[str]) -> None:
        """A write of `keys` has an unknown outcome: what we hold may be old from now on (rule 1)."""
        with self._changing:
            self._fresh.own_writes.note(keys, FOREVER)
            self._invalidated("unknown outcome", self._mark(keys, FOREVER))

    def _mark(self, keys: Collection[str], revision: Revision) -> int:
        return sum(self._entries.invalidate(key, revision) for key in keys)

    # Watching

    def start_from(self, ticket: Ticket, survey: Survey, *, gap: bool) -> Start | None:
        """Decides from a survey at `ticket.horizon` how the watch goes on (rules 6, 7, 8).

        `gap`: events were missed, so that the stream can't go on after the horizon. Returns None if the survey came
        too late: ask again.
        """
        with self._changing:
            if ticket.epoch != self._fresh.epoch:
                return None
            lineage = self._fresh.compare(ticket, survey)
            match lineage:
                case SameHistory():
                    if gap:
                        self._rebase(survey, ticket)
                        self._invalidated("gap", len(self._entries))
                    else:
                        self._fresh.resume()  # what it lacks is still to come, intents too
                case Unprovable():
                    self._invalidated("history", self._entries.clear())
                    self._rebase(survey, ticket)
                case Elsewhere(detail):
                    self._turn_back(detail)
                    self._rebase(survey, ticket)
            self._learn_policy(InForce(survey.header, survey.policy))
            start = Start(self._fresh.horizon, survey.header.revision, self._fresh.epoch, lineage)
            self._moved.tell()
        self._follow(None)
        return start

    def _rebase(self, survey: Survey, ticket: Ticket) -> None:
        self._fresh.rebase(survey, ticket.sent_at)
        self._holds.start_over(survey.intents, survey.header.revision)

    def watching(self, up: bool) -> None:
        """The stream is up, or down."""
        self._watch_up = up
        self._moved.tell()

    def apply(self, event: VersionEvent, epoch: int) -> bool:
        """Rule 2. False, and nothing changed, if the event is not the next one or its stream is of an earlier epoch."""
        with self._changing:
            if epoch != self._fresh.epoch or not self._fresh.apply(event):
                return False
            self._invalidate(event)
            if event.intent is not None:
                self._holds.begin((event.intent,), event.state.revision)
            if event.release:  # what it held is stale by now
                self._holds.release(event.release)
            if event.policy:
                self._policy_changed = event.state.revision
            self._moved.tell()
        self._follow(event)
        return True

    def _invalidate(self, event: VersionEvent) -> None:
        at = event.state.revision
        if event.names is None:
            self._invalidated("everything", len(self._entries))
        else:
            self._invalidated("version", self._mark(event.names, at))

    def doubts(self, event: MemberEvent) -> bool:
        """Whether this event casts doubt on our own slot: then hits stop until a proof (rule 9)."""
        with self._changing:
            lease = event.member.lease if event.member else 0
            doubtful = event.slot == self._fresh.slot and lease != self._fresh.lease
            if doubtful:
                self._fresh.doubt()
            return doubtful

    def has_applied(self, version: VersionState) -> bool:
        """See `History.holds`."""
        return self._fresh.history.holds(version)

    @property
    def histories(self) -> int:
        """How many were given up for another one (rule 8): a number for the present one."""
        return self._fresh.histories

    def explains(self, key: str, revision: Revision) -> bool | None:
        """See `History.explains`."""
        return self._fresh.history.explains(key, revision)

    @property
    def applied(self) -> VersionState:
        """The last version that has been applied."""
        return self._fresh.history.applied

    def events_between(self, start: VersionState, end: VersionState) -> tuple[VersionEvent, ...] | None:
        """See `History.between`."""
        return self._fresh.history.between(start, end)

    @property
    def epoch(self) -> int:
        """The present stretch of certainty."""
        return self._fresh.epoch

    def _turn_back(self, detail: str) -> None:
        self._invalidated("history", self._entries.clear())
        self._fresh.turn_back()
        self._policy, self._policy_changed = InForce(Header(0, 0), Policy.none()), 0
        self._happened.append(TimeWentBackwards(detail))
        self._moved.tell()
        self._follow(None)

    # Reaching the store

    def proving(self) -> None:
        """The prover asks the store now."""
        self._proving_at = self._clock()

    def answered(self, sent_at: float) -> None:
        """The store has answered a batch that was sent then, in local seconds."""
        self._down, self.answered_at = False, sent_at

    def unanswered(self, error: StoreError) -> None:
        """The store has not answered a batch, or not as it should."""
        self._down, self.last_error = True, str(error)

    def refuse_if_down(self) -> None:
        """Raises Unavailable at once while etcd is known not to answer, and the prover goes on asking it.

        Otherwise every request would wait for the whole of its deadline before it hears what is known already.
        """
        if self._down and self._clock() - self._proving_at < self._down_for:
            raise Unavailable(f"etcd does not answer: {self.last_error}")

    # Writing by the policy (rule 15)

    @property
    def policy(self) -> Policy:
        """The one that this instance goes by: the last that was read."""
        return self._policy.policy

    def learn_policy(self, ticket: Ticket, found: InForce) -> None:
        """Goes by the policy that was found, unless it is an older one, or may be another history's (rule 8)."""
        if ticket.epoch == self._fresh.epoch and not self._fresh.contradiction(ticket, found.header):
            self._learn_policy(found)

    def _learn_policy(self, found: InForce) -> None:
        if found.header.revision >= self._policy.header.revision:
            self._policy = found

    # Belonging

    @property
    def has_watched(self) -> bool:
        """Whether a watch has begun and knows where it goes on."""
        return self._fresh.history.applied.count > 0

    def join(self, slot: int, lease: int) -> None:
        """This instance holds `slot`; hits need a proof first (rule 9)."""
        with self._changing:
            self._fresh.join(slot, lease)
            self._renewed_at = self._clock()
            self._happened.append(Joined(slot))

    def renewed(self) -> None:
        """The lease of our slot was renewed. For those who look: hits don't rest on it."""
        self._renewed_at = self._clock()

    def leave(self, cause: str) -> None:
        """No hits from now on. Does nothing without a slot."""
        with self._changing:
            self._leave(cause)

    def _leave(self, cause: str) -> None:
        if self._fresh.slot is not None:
            self._happened.append(Left(self._fresh.slot, cause))
            self._invalidated("left", len(self._entries))
            self._fresh.leave()

    @property
    def lease(self) -> int:
        """The lease that holds our slot; 0 without one."""
        return self._fresh.lease

    # Being asked

    def snapshot(self) -> Snapshot:
        """All of it at one moment."""
        fresh = self._fresh
        return Snapshot(
            slot=fresh.slot,
            lease=fresh.lease,
            horizon=fresh.horizon,
            proved_at=fresh.proved_at,
            fresh_until=fresh.fresh_until,
            entries=len(self._entries),
            bytes=self._entries.bytes,
            watch_up=self._watch_up,
            renewed_at=self._renewed_at,
        )

    def _invalidated(self, cause: str, entries: int) -> None:
        if entries:
            self._happened.append(Invalidated(cause, entries))

    def _tell(self) -> None:
        if not self._happened:
            return
        happened, self._happened = self._happened, []
        for event in happened:
            self._observer(event)


def _learned(need: Need, found: Found, at: Revision, now: float) -> Entry | None:
    """The entry that an answer makes of a key; None if it must not be cached."""
    if not found.present:
        return Entry(None, 0, at, now)
    if found.document is not None:
        document = found.document
        leased = document.lease != 0  # it can vanish without a version event (rule 5)
        return None if leased else Entry(document.data, document.mod_revision, at, now)
    assert need.entry is not None  # unchanged since the entry that the reader named
    return need.entry._replace(validated_at=at, stale=False)
