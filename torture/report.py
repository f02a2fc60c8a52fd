"""A run in words: tables of operations, outcomes and faults, and the violations. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from torture.case import Case
from torture.history import Kind, Level, Outcome
from torture.recency import staleness
from torture.run import SHOWN, SLACK, Result
from torture.world import BOUND


def report(result: Result) -> str:
    """All of it."""
    parts = (_operations, _staleness, _guarded, _synchronous, _followed, _library, _faults, _violations)
    return "\n\n".join("\n".join(part(result)) for part in parts)


def _operations(result: Result) -> Iterator[str]:
    asked = Counter((f"{operation.kind} {operation.level}", operation.outcome) for operation in result.history)
    yield _row("operation", *(outcome.value for outcome in Outcome), "in all")
    for name in sorted({name for name, _ in asked}):
        yield _row(name, *_with_sum(asked[name, outcome] for outcome in Outcome))
    outcomes = Counter(operation.outcome for operation in result.history)
    yield _row("in all", *_with_sum(outcomes[outcome] for outcome in Outcome))


def _staleness(result: Result) -> Iterator[str]:
    """How old default reads really were, where a newer version was known at all."""
    case = Case(result.history, result.truth, BOUND, SLACK)
    served = Counter(operation.cache for operation in result.history if operation.kind is Kind.READ)
    yield "answers from " + ", ".join(f"{cache or 'nowhere'}: {number:,}" for cache, number in served.most_common())
    proven = [read for read in case.present_reads() if read.cache != "STALE"]
    ages = sorted(seconds for read in proven if (seconds := staleness(case, read)[0]) > 0)
    if ages:
        median, late, worst = (ages[int((len(ages) - 1) * share)] for share in (0.5, 0.99, 1))
        yield f"proven answers that were old: {len(ages):,}"
        yield f"    by {median:.3f} s (median), {late:.3f} s (99 %), {worst:.3f} s (the worst)"


def _guarded(result: Result) -> Iterator[str]:
    """How many reads had to be linearizable because their keys were guarded, and for nothing else."""
    judged = Case(result.history, result.truth, BOUND, SLACK, guarded=result.guarded).guarded_reads()
    hits = sum(read.cache == "HIT" for read in judged)
    yield f"{len(judged):,} default reads of guarded keys were judged, {hits:,} of them hits"


def _synchronous(result: Result) -> Iterator[str]:
    """How long synchronous writes took, and how many were not acknowledged by everybody (X-Fleet-Acks)."""
    done = [write for write in result.history if write.level is Level.SYNC and write.outcome is Outcome.OK]
    partial = sum(len(set(write.note.split("/"))) > 1 for write in done)
    slowest = max((write.returned - write.invoked for write in done), default=0.0)
    yield f"{len(done):,} synchronous writes, {partial:,} not acknowledged by all; the slowest took {slowest:.3f} s"


def _followed(result: Result) -> Iterator[str]:
    """What followers of /changes were told: each key told is one that the checks have compared."""
    told = [word for word in result.followed if word.word == "told" and not word.library]
    changes = sum(len(word.changes) for word in told)
    yield f"{len({word.follower for word in told})} followers of changes were told of {changes:,}"
    for streams, name in ((True, "streams"), (False, "long polls")):
        words = Counter(word.word for word in result.followed if word.streams is streams and not word.library)
        yield f"    {name}: " + ", ".join(f"{word}: {number:,}" for word, number in words.most_common())
    resets = Counter(word.reset for word in told if word.reset)
    yield "    resets: " + (", ".join(f"{cause}: {number:,}" for cause, number in resets.most_common()) or "none")
    lags = sorted(_lags(result))
    if lags:
        median, late, worst = (lags[int((len(lags) - 1) * share)] for share in (0.5, 0.99, 1))
        yield f"    after the harness knew: {median:.3f} s (median), {late:.3f} s (99 %), {worst:.3f} s (the worst)"


def _library(result: Result) -> Iterator[str]:
    """What clients of the library held, each time they were looked at."""
    looks = [word for word in result.followed if word.library]
    changes = sum(len(word.changes) for word in looks)
    clients = len({word.follower for word in looks})
    yield f"{clients} clients of the library, looked at {len(looks):,} times, had taken up {changes:,} changes"
    states = Counter(word.note for word in looks if word.word == "told")
    yield "    " + ", ".join(f"{state}: {number:,}" for state, number in states.most_common())
    listened = Counter(word.word for word in looks if word.word != "told")
    yield "    " + ", ".join(f"{word}: {number:,}" for word, number in listened.most_common())


def _lags(result: Result) -> Iterator[float]:
    """By how much later than the harness a stream's reader knew of a change, where it had not been away."""
    seen = {change.revision: change.seen for change in result.truth.changes}
    for word in result.followed:
        if word.word == "told" and word.streams and not word.reset and word.to in seen:
            yield max(0.0, word.returned - max(seen[word.to], word.invoked))


def _faults(result: Result) -> Iterator[str]:
    yield f"{len(result.faults)} kinds of fault, {sum(result.faults.values())} in all"
    yield from (f"{number:5d} x {kind}" for kind, number in sorted(result.faults.items()))
    yield f"{len(result.missed)} steps could not be done" if result.missed else "every step was done"


def _violations(result: Result) -> Iterator[str]:
    yield f"{len(result.violations)} violations"
    shown: Counter[str] = Counter()
    for violation in result.violations:
        shown[violation.check] += 1
        if shown[violation.check] <= SHOWN:
            yield violation.excerpt(result.truth)
    yield from (f"{number:5d} x {check}" for check, number in shown.items())


def _with_sum(numbers: Iterable[int]) -> list[int]:
    listed = list(numbers)
    return [*listed, sum(listed)]


def _row(name: str, *cells: object) -> str:
    return f"{name:22s}" + "".join(f"{cell:>10,}" if isinstance(cell, int) else f"{cell!s:>10s}" for cell in cells)
