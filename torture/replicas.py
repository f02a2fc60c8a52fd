"""Is what followers of `/changes` hold what etcd had, and were they told in time? Pure.

A replica is what a follower holds: all that it was told, one after the other, from its last reset on. For any world
whose truth is known, real or simulated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from torture.case import Case
from torture.followed import Told
from torture.truth import Change, Truth
from torture.violations import Violation

EVERY = 10.0
"""Seconds within which a stream says something, if its connection lives."""

FRESH = 12.0
"""Seconds after which a client of the library has to doubt."""

DELAY = 3.0
"""Seconds that a word of a stream may take from its making to its reader, on a loaded machine."""


def replicas_are_exact(case: Case) -> Iterator[Violation]:
    """At every `to`, a follower holds exactly what etcd had of its scope, and was told nothing twice.

    Sound: a follower goes on from its token alone; rule 18 gives it all names after it, with the values at `to`, and
    values are unique. By induction only what changed since the last `to` has to be looked at, but after a reset.
    """
    for words in _by_follower(case.followed):
        held: dict[str, tuple[str, int]] = {}
        whole = 0  # the revision at which `held` was last whole
        for word in words:
            if word.word != "told":
                continue
            if word.reset:
                held, whole = {}, 0
            yield from _twice(word, whole)
            for key, value, at in word.changes:
                held.pop(key, None)
                if value is not None:
                    held[key] = (value, at)
            if not word.part:
                yield from _differences(word, held, case.truth, whole)
                whole = word.to


def silence_is_honest(case: Case) -> Iterator[Violation]:
    """What a long poll tells is the newest as of some moment no earlier than `age` before it was asked for.

    Sound: its proof was sent at most `age` before it was answered, which is after it was invoked; all that had been
    committed before the proof was sent is told.
    """
    for word in case.followed:
        polled = not word.streams and not word.library
        if word.word == "told" and polled and not word.more and word.age >= 0:
            yield from _missed(word, case.truth, word.invoked - word.age - case.slack)


def streams_tell_in_time(case: Case) -> Iterator[Violation]:
    """A stream whose connection lives is never behind by more than B and 10 s, unless it says so.

    Sound, if no word takes longer than DELAY from its making to its reader: a `sync` comes every 10 s, and is made with
    a proof younger than B. One after a silence that was longer says nothing: its reader knew.
    """
    for words in _by_follower(case.followed):
        heard = float("inf")  # since when there has been no silence, and no word of doubt
        last = float("-inf")
        for word in words:
            if word.word != "told" or not word.streams:
                heard = float("inf")
                continue
            if word.returned - last > EVERY + DELAY or heard == float("inf"):
                heard = word.returned
            last = word.returned
            limit = word.returned - case.bound - EVERY - DELAY
            if limit > heard and not word.more:
                yield from _missed(word, case.truth, limit)


def libraries_know_how_old(case: Case) -> Iterator[Violation]:
    """A client of the library is no surer of what it holds than it may be, be it fresh, stale or lost; its listener has
    been told of all of it; and when all is over it is fresh.

    Sound, if no word takes longer than DELAY to it: an instance has proven that this was the newest `age` seconds
    before it was looked at, and the word's way before that.
    """
    for word in case.followed:
        if word.word == "told" and word.library and word.age >= 0:
            yield from _missed(word, case.truth, word.invoked - word.age - DELAY)
        if word.word == "told" and word.note == "Fresh" and word.age > FRESH:
            yield _violation("late doubt", word, f"it is fresh at the age of {word.age:.3f} s")
        if word.word == "unlike":
            yield _violation("lost change", word, f"its listener was not told of all that it holds; {word.note}")
        if word.word == "listened" and word.note != "Fresh":
            yield _violation("no recovery", word, f"all faults are over, and it is {word.note}")


def _by_follower(words: Sequence[Told]) -> Iterable[Sequence[Told]]:
    found: dict[int, list[Told]] = defaultdict(list)
    for word in words:
        found[word.follower].append(word)
    return found.values()


def _twice(word: Told, whole: int) -> Iterator[Violation]:
    keys = [key for key, _, _ in word.changes]
    for key, _, at in word.changes:
        if keys.count(key) > 1:
            yield _violation("told twice", word, f"{key} is told twice at once")
        if at > word.to or 0 < at <= whole:
            yield _violation("told twice", word, f"{key} of {at} is told in ({word.since}, {word.to}]")


def _differences(word: Told, held: dict[str, tuple[str, int]], truth: Truth, whole: int) -> Iterator[Violation]:
    if whole:
        suspects = {name for name, _ in truth.documents_between(whole, word.to)} | {key for key, _, _ in word.changes}
    else:
        suspects = {name for name, _ in truth.documents_between(0, word.to)} | held.keys()
    for name in sorted(suspects):
        if not word.concerns(name):
            if name in held:
                yield _violation("wrong replica", word, f"{name} is out of its scope")
            continue
        there = truth.at(name, word.to)
        expected = (there.value, there.revision) if there is not None and there.value is not None else None
        if held.get(name) != expected:
            changes = (there,) if there else ()
            yield _violation("wrong replica", word, f"holds {held.get(name)} of {name}, not {expected}", changes)


def _missed(word: Told, truth: Truth, known_before: float) -> Iterator[Violation]:
    for name, change in truth.documents_between(word.to, truth.last):
        if change.seen < known_before and word.concerns(name):
            check = "told late" if word.streams else "dishonest age" if word.library else "dishonest silence"
            yield _violation(check, word, f"{name} of {change.revision} had been known for long", (change,))
            return
        if change.seen >= known_before:
            return


def _violation(check: str, word: Told, claim: str, changes: tuple[Change, ...] = ()) -> Violation:
    kind = "stream" if word.streams else "library" if word.library else "poll"
    asked = f"follower {word.follower} ({kind}) at instance {word.instance}, told ({word.since}, {word.to}]"
    return Violation(check, f"{asked} {word.reset}: {claim}", (), changes)
