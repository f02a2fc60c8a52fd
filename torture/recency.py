"""How old an answer may be: bounded staleness, ages, tokens, sessions. Pure; see `checker`."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from torture.case import Case
from torture.history import Kind, Level, Operation, Outcome, Remembers
from torture.violations import Violation

OUTCOME_UNKNOWN = 504
"""The status by which an instance says so."""


def staleness(case: Case, read: Operation) -> tuple[float, Operation | None]:
    """Seconds for which a newer version was known to somebody when the read was invoked, and to whom; 0.0 if none was.

    The next version suffices: an answer that knew of a later one shows that the store had passed this one too.
    """
    following = case.truth.after(read.key, case.version(read))
    if following is None:
        return 0.0, None
    known, witness = case.reached.by(following.revision)
    return max(0.0, read.invoked - known), witness


def staleness_is_bounded(case: Case) -> Iterator[Violation]:
    """No default read is older than what anybody knew B before it was invoked.

    Sound: who knew of revision r at time t (an answer that holds at r, a watched event) shows that r was committed
    before t. A hit at n < t0 + B rests on a proof sent at t0 > n - B, which shows all that was committed before t0
    (PROTOCOL.md, "Why the guarantees hold"), and n is after the invocation. Strict reads are held to it as well. The
    slack is for clocks of different rates. Answers that are STALE are judged by their Age instead.
    """
    for read in case.present_reads():
        if read.cache != "STALE":
            yield from _too_old(case, read, case.bound, "stale read")


def age_is_honest(case: Case) -> Iterator[Violation]:
    """No answer from memory is older than its Age says, and no STALE one older than was allowed.

    Sound: Age is the time since the proof that the answer rests on, rounded up to whole seconds; the argument is that
    of `staleness_is_bounded` with Age in place of B.
    """
    for read in case.present_reads():
        if read.cache in ("HIT", "STALE"):
            yield from _too_old(case, read, max(float(read.age), 0.0), "dishonest age")
        if read.cache == "STALE" and read.level is Level.STALE and read.age > read.asked + case.bound + 1:
            yield Violation("staler than allowed", f"{read.age} s, {read.asked} s allowed", (read,))


def _too_old(case: Case, read: Operation, allowed: float, check: str) -> Iterator[Violation]:
    seconds, witness = staleness(case, read)
    if seconds > allowed + case.slack:
        claim = f"{read.key} had been newer for {seconds:.4f} s, allowed {allowed:.4f} s"
        yield Violation(check, claim, (witness, read) if witness else (read,))


def tokens_are_honoured(case: Case) -> Iterator[Violation]:
    """An answer to a request that named revision T, in a parameter or by its cookie, holds at T or later.

    Sound: rule 10. Reads of the past hold where they were asked to.
    """
    for operation in case.answered:
        if operation.level is not Level.PAST and 0 < operation.revision < operation.token:
            yield Violation("token ignored", f"holds at {operation.revision}", (operation,))


def instances_know_their_own_writes(case: Case) -> Iterator[Violation]:
    """A read at the instance that made a write, after the write has returned, shows nothing older.

    Sound: rule 1. What was written there, and what may have been, is not served from memory as it was before: it is
    asked for, after the write. One whose outcome the instance does not know counts if it is known to have been
    committed by then; one whose client has gone may be under way. A delete does not say whether it found anything, and
    has written nothing if not: it is left out. A process that has been started meanwhile holds nothing from before.
    """
    made: dict[tuple[int, str], list[tuple[float, int, Operation]]] = defaultdict(list)
    for write in case.writes:
        if write.kind is Kind.DELETE or (write.outcome is Outcome.UNKNOWN and write.status != OUTCOME_UNKNOWN):
            continue
        for key, _ in write.changes:
            change = case.placed_write(key, write)
            if change and (write.outcome is Outcome.OK or change.seen <= write.returned):
                made[write.instance, key].append((write.returned, change.revision, write))
    newest = {place: _running_newest(writes) for place, writes in made.items()}
    for read in case.present_reads():
        writes = newest.get((read.instance, read.key), [])
        before = bisect_left(writes, read.invoked, key=lambda each: each[0])
        if before and case.version(read) < writes[before - 1][1]:
            _, revision, write = writes[before - 1]
            yield Violation("own write not seen", f"{read.key} was written at {revision}", (write, read))


def _running_newest(writes: list[tuple[float, int, Operation]]) -> list[tuple[float, int, Operation]]:
    """By when they were known: the newest of those that were by then."""
    found: list[tuple[float, int, Operation]] = []
    for known, revision, write in sorted(writes, key=lambda each: each[:2]):
        if not found or revision > found[-1][1]:
            found.append((known, revision, write))
    return found


def sessions_never_go_back(case: Case) -> Iterator[Violation]:
    """Within a session the revision of an answer is never below that of an earlier write; nor, where the session names
    what it has seen, below any earlier answer's; then the version of a key is not below the one seen before either.

    Sound: rule 10, by cookie or `min_revision`; it does not ask what was sent, so a cookie that was never set shows.
    """
    sessions: dict[str, list[Operation]] = defaultdict(list)
    for operation in case.answered:
        if operation.session and operation.level is not Level.PAST and operation.revision:
            sessions[operation.session].append(operation)
    for operations in sessions.values():
        yield from _one_session(case, sorted(operations, key=lambda operation: operation.invoked))


def _one_session(case: Case, operations: list[Operation]) -> Iterator[Violation]:
    newest: Operation | None = None
    versions: dict[str, tuple[int, Operation]] = {}
    for operation in operations:
        if newest is not None and operation.revision < newest.revision:
            yield Violation("session went back", f"from {newest.revision}", (newest, operation))
        elif operation.kind is not Kind.READ or operation.remembers is Remembers.ALL:
            newest = operation
        if operation.kind is Kind.READ and operation.remembers is Remembers.ALL:
            seen = case.version(operation)
            before, earlier = versions.get(operation.key, (0, operation))
            if seen < before:
                yield Violation("version went back", f"{operation.key} from {before}", (earlier, operation))
            versions[operation.key] = max((seen, operation), (before, earlier), key=lambda pair: pair[0])
