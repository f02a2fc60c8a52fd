"""What is there: does etcd hold what was acknowledged, and do answers show what etcd held? Pure; see `checker`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from torture.case import Case
from torture.history import Kind, Level, Operation, Outcome
from torture.truth import VERSION, Change
from torture.violations import Violation

_READ_STATUSES = {200, 304, 404, 410, 503}
_WRITE_STATUSES = {200, 201, 204, 412, 410, 422, 503, 504, 507}


def acknowledged_writes_are_there(case: Case) -> Iterator[Violation]:
    """At the revision named in its answer etcd holds each value that a write stored, and none that it deleted.

    Sound: an acknowledgement carries the revision of the one transaction that did all of it. A delete of an absent key
    writes nothing; its key is absent at the revision named all the same.
    """
    for write in case.writes:
        if write.outcome is not Outcome.OK:
            continue
        for key, value in write.changes:
            found = case.truth.at(key, write.revision)
            if value is None and (found is None or found.value is None):
                continue
            if value is None or found is None or (found.revision, found.value) != (write.revision, value):
                yield Violation("lost write", f"{key} is not as the answer says at {write.revision}", (write,))


def failed_writes_are_not_there(case: Case) -> Iterator[Violation]:
    """What was refused or failed for certain never appears.

    Sound: values are unique, so a value in etcd is its author's doing. Deletes can't be told apart and are counted in
    `every_change_was_asked_for`.
    """
    for key, change in case.truth.documents():
        if change.value is None:
            continue
        for author in case.authors[key, change.value]:
            if author.outcome in (Outcome.FAILED, Outcome.REFUSED):
                yield Violation("ghost write", f"{key} has what was answered as not done", (author,), (change,))


def every_change_was_asked_for(case: Case) -> Iterator[Violation]:
    """Every value in etcd was written by somebody, once; every deletion is somebody's, acknowledged or unknown.

    Sound: values are unique and are never retried. An acknowledged delete names its revision; of those that nobody
    acknowledged there can't be more than deletes of that key with an unknown outcome.
    """
    seen: dict[tuple[str, str], Change] = {}
    orphans: dict[str, list[Change]] = defaultdict(list)
    for key, change in case.truth.documents():
        if change.value is None:
            if all(author.revision != change.revision for author in case.authors[key, None]):
                orphans[key].append(change)
            continue
        if not case.authors[key, change.value]:
            yield Violation("value from nowhere", f"nobody wrote this to {key}", (), (change,))
        if (first := seen.setdefault((key, change.value), change)) is not change:
            yield Violation("written twice", f"{key}", tuple(case.authors[key, change.value]), (first, change))
    for key, changes in orphans.items():
        unknown = [author for author in case.authors[key, None] if author.outcome is Outcome.UNKNOWN]
        if len(changes) > len(unknown):
            yield Violation("deletion from nowhere", f"{key}", tuple(unknown), tuple(changes))


def batches_happen_whole(case: Case) -> Iterator[Violation]:
    """The values of one batch are all in etcd at one revision, or none is anywhere.

    Sound: a batch is one transaction. (Acknowledged ones are also checked by `acknowledged_writes_are_there`.)
    """
    where: dict[tuple[str, str], int] = {
        (key, change.value): change.revision for key, change in case.truth.documents() if change.value is not None
    }
    for batch in case.writes:
        if batch.kind is Kind.BATCH:
            found = {where.get((key, value)) for key, value in batch.changes if value is not None}
            if len(found) > 1:
                yield Violation("torn batch", f"its values are at revisions {found}", (batch,))


def conditions_held(case: Case) -> Iterator[Violation]:
    """A write that was done found each of its conditions true just before; one that was refused shows why.

    Sound: etcd compares in the transaction that writes, so the state just before is that of its revision - 1. This goes
    for a write with an unknown outcome too, once its value is found. A refusal names the key that it is for, and its
    mod_revision at the comparison, 0 when it was absent. (That a refused batch has written nothing is the business of
    `failed_writes_are_not_there`.)
    """
    for write in case.writes:
        done_at = _done_at(case, write) if write.preconditions else 0
        for key, condition in write.preconditions:
            before = case.truth.at(key, done_at - 1)
            current = before.revision if before and before.value is not None else 0
            if done_at and not _holds(condition, current):
                yield Violation("condition ignored", f"{key} was at {current}", (write,))
            if key == write.refusing and _holds(condition, write.modified):
                yield Violation("refused without cause", f"{key} was at {write.modified}", (write,))


def _done_at(case: Case, write: Operation) -> int:
    """The revision that a write made; 0 when it made none, or when that can't be told."""
    if write.outcome is Outcome.OK:
        return write.revision
    placed = (case.placed_write(key, write) for key, _ in write.changes)
    return next((change.revision for change in placed if change is not None), 0)


def _holds(condition: str, current: int) -> bool:
    match condition:
        case "absent":
            return not current
        case "exists":
            return current > 0
        case _:
            return current == int(condition)


def every_change_bears_a_version(case: Case) -> Iterator[Violation]:
    """Each change of a document has a version record at its revision that names it; no nonce occurs twice.

    Sound: rule 1 puts both in one transaction, and 128 random bits don't repeat.
    """
    for key, change in case.truth.documents():
        record = case.truth.record(change.revision)
        if record is None or (record.names is not None and key not in record.names):
            yield Violation("change without a version", f"of {key}", (), (change,))
    versions = [change for change in case.truth.changes if change.key == VERSION and change.value]
    nonces = {change.revision: record.nonce for change in versions if (record := case.truth.record(change.revision))}
    twice = {nonce for nonce, times in Counter(nonces.values()).items() if times > 1}
    for change in versions:
        if nonces.get(change.revision) in twice:
            yield Violation("nonce used twice", "one transaction was executed twice", (), (change,))


def reads_show_what_was_written(case: Case) -> Iterator[Violation]:
    """A read that shows the mod_revision m shows the value that etcd stored at m.

    Sound: documents come back byte for byte, and m identifies a change of the key.
    """
    for read in case.reads:
        if not read.modified:
            continue
        change = case.truth.exactly(read.key, read.modified)
        if change is None or change.value is None:
            yield Violation("read from nowhere", f"{read.key} has no value of revision {read.modified}", (read,))
        elif read.status != 304 and change.value != read.value:
            yield Violation("wrong value", f"{read.key} at {read.modified} is {change.value}", (read,), (change,))


def reads_hold_at_their_revision(case: Case) -> Iterator[Violation]:
    """An answer is the newest change at the revision that it claims to hold at.

    Sound: a hit is served at the horizon, up to which every event is applied (rules 2 and 3); any other answer is as of
    etcd's header. A read of the past holds at the revision asked for. Answers that are STALE claim no more than that
    they held when they were last proven, at the same horizon.
    """
    for read in case.reads:
        at = read.asked if read.level is Level.PAST else read.revision
        change = case.truth.at(read.key, at)
        current = change.revision if change and change.value is not None else 0
        if current != read.modified:
            yield Violation("not at its revision", f"at {at} {read.key} was of {current}", (read,))


def answers_keep_the_contract(case: Case) -> Iterator[Violation]:
    """Answers have foreseen statuses; uncached reads bypass the cache; nothing is STALE unasked; honest tokens hold.

    Sound: the contract says so. 410 is for revisions that were compacted, which only reads of the past name, and for
    tokens from another history, of which there is none while nobody restores a backup.
    """
    for operation in case.history:
        if problem := _problem(operation):
            yield Violation("contract", problem, (operation,))


def _problem(operation: Operation) -> str:
    statuses = _READ_STATUSES if operation.kind is Kind.READ else _WRITE_STATUSES
    if operation.status and operation.status not in statuses:
        return f"unforeseen status {operation.status}"
    if operation.status == 410 and operation.level is not Level.PAST:
        return f"the token {operation.token} was given out by this very history"
    if operation.level is Level.UNCACHED and operation.outcome is Outcome.OK and operation.cache != "BYPASS":
        return "an uncached read was answered from the cache"
    if operation.cache == "STALE" and operation.level is not Level.STALE:
        return "stale without having been asked"
    return ""
