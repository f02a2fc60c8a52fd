"""Who saw what before whom: linearizability, and writes that all have seen. Pure; see `checker`.

One sweep serves three of them. A mark places an operation in etcd's order: a write of revision r at (r, 0), a read of
version v at (v, 1), after the write that it saw and before the next. If `a` returned before `b` was invoked, then b's
mark must not be below a's. With the operations sorted by return, a running maximum finds the worst `a` for every `b`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torture.case import Case
from torture.history import Level, Operation, Outcome
from torture.violations import Violation

Mark = tuple[int, int]

NEVER = float("inf")
"""When a write with an unknown outcome returned."""


class Placed(NamedTuple):
    """An operation in etcd's order, and in time. `judged`: its mark must respect time; else it is evidence only."""

    mark: Mark
    invoked: float
    returned: float
    operation: Operation
    judged: bool = True


def linearizable_per_key(case: Case) -> Iterator[Violation]:
    """Uncached, linearizable and conditional operations on a key happen in an order that respects real time; of a
    guarded key all reads do, hits too (rule 17), but for those that were allowed to be older (STALE).

    Sound: etcd executes them one after another, each between its invocation and its return, and revisions are that
    order. A write with an unknown outcome that is in etcd counts as never returned; one that is not there is left out.
    A default read promises no recency, but what it saw was there before it returned: it is evidence. Complete for the
    marks given: an order by mark, then by invocation, explains a history in which no pair is reversed.
    """
    by_key: dict[str, list[Placed]] = defaultdict(list)
    strict = {*map(id, case.strict_reads()), *map(id, case.guarded_reads())}
    for read in case.present_reads():
        by_key[read.key].append(_read(case.version(read), read, judged=id(read) in strict))
    for write in case.writes:
        for key, place in _of_write(case, write):
            by_key[key].append(place)
    for key, placed in by_key.items():
        for a, b in reversed_pairs(placed):
            yield Violation("not linearizable", f"{key}: the later of these is older", (a.operation, b.operation))


def linearizable_across_keys(case: Case) -> Iterator[Violation]:
    """The same over all keys at once, by the revisions that the answers hold at.

    Sound: etcd's revision never falls, and a linearizable read shows one that is no older than its invocation.
    """
    strict = set(map(id, case.strict_reads()))
    placed = [_read(read.revision, read, judged=id(read) in strict) for read in case.present_reads()]
    for write in case.writes:
        if write.outcome is Outcome.OK:
            placed += [_write(write.revision, write)] if _stores(write) else _deleted(case, write, across=True)
    for a, b in reversed_pairs(placed):
        yield Violation("not linearizable across keys", "the later of these is older", (a.operation, b.operation))


def nothing_is_read_before_it_is_written(case: Case) -> Iterator[Violation]:
    """No read returns a value before the write of it was invoked.

    Sound: cause before effect. Unlike the above it judges default reads too.
    """
    for read in case.reads:
        for author in case.authors.get((read.key, read.value), ()) if read.value is not None else ():
            if read.returned < author.invoked:
                yield Violation("read before written", read.key, (read, author))


def synchronous_writes_are_seen_by_all(case: Case) -> Iterator[Violation]:
    """No read that was invoked after a synchronous write of its key had returned sees an older version.

    Sound: rule 12. A delete that found nothing stands for the version that it found. Answers that are older because
    the client allowed it (STALE) are left out.
    """
    by_key: dict[str, list[Placed]] = defaultdict(list)
    for write in case.writes:
        if write.level is Level.SYNC and write.outcome is Outcome.OK:
            for key, _ in write.changes:
                change = case.truth.at(key, write.revision)
                by_key[key].append(_write(change.revision if change else 0, write, judged=False))
    for read in case.present_reads():
        if read.key in by_key and read.cache != "STALE":
            by_key[read.key].append(_read(case.version(read), read, evidence=False))
    for key, placed in by_key.items():
        for a, b in reversed_pairs(placed):
            yield Violation("synchronous write not seen", key, (a.operation, b.operation))


def reversed_pairs(placed: Iterable[Placed]) -> Iterator[tuple[Placed, Placed]]:
    """For each judged `b`, the worst `a` that returned before b was invoked and has a higher mark, if there is one."""
    placed = list(placed)
    by_return = iter(sorted((a for a in placed if a.returned < NEVER), key=lambda a: a.returned))
    waiting, highest = next(by_return, None), None
    for b in sorted((b for b in placed if b.judged), key=lambda b: b.invoked):
        while waiting is not None and waiting.returned < b.invoked:
            if highest is None or waiting.mark > highest.mark:
                highest = waiting
            waiting = next(by_return, None)
        if highest is not None and highest.mark > b.mark:
            yield highest, b


def _read(version: int, read: Operation, *, judged: bool = True, evidence: bool = True) -> Placed:
    return Placed((version, 1), read.invoked, read.returned if evidence else NEVER, read, judged)


def _write(revision: int, write: Operation, *, judged: bool = True) -> Placed:
    return Placed((revision, 0), write.invoked, write.returned, write, judged)


def _of_write(case: Case, write: Operation) -> Iterator[tuple[str, Placed]]:
    """Where a write stands in the order of each of its keys. A refusal is a read of what stood in its way."""
    if write.refusing and write.modified:
        yield write.refusing, _read(write.modified, write)
    if write.outcome is Outcome.OK and not _stores(write):
        yield from ((key, placed) for key, _ in write.changes for placed in _deleted(case, write, key))
        return
    for key, _ in write.changes:
        if (change := case.placed_write(key, write)) is not None:
            returned = write.returned if write.outcome is Outcome.OK else NEVER
            yield key, _write(change.revision, write)._replace(returned=returned)


def _stores(write: Operation) -> bool:
    """Whether it stores a value, and so certainly makes a revision. What only deletes may find nothing to delete."""
    return any(value is not None for _, value in write.changes)


def _deleted(case: Case, write: Operation, key: str = "", *, across: bool = False) -> list[Placed]:
    """Where deletes alone stand: at the revision named; per key, at the deletion there or at the one before.

    A delete that found nothing is a read; and the revision it names may be that of another's delete. Where it can't be
    told which of them wrote, it is judged as the later of the two, and is evidence as the earlier.
    """
    found = None if across else case.truth.at(key, write.revision)
    version = write.revision if across else (found.revision if found else 0)
    if version != write.revision:
        return [_read(version, write)]
    return [_read(version, write, evidence=False), _write(version, write, judged=False)]
