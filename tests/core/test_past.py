"""Rule 19 as a decision: what can be said of a key at a revision by what its writes have left, and what can not.

A model knows the truth: writes through the service, which leave records, and writes past it, which don't. Whatever is
said exactly has to be true, whoever has written in between; and without outsiders everything kept can be said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.model import Author, Document
from consistency.core.past import Current, KeyPast, Recorded, Unknowable, at, named, surplus, traced
from consistency.core.records import Op, Record, Trace

BEGAN = 10


def put(revision: int, *, fresh: bool = False) -> Trace:
    return Trace(revision, Op.PUT, f"{revision:032x}", fresh)


def delete(revision: int) -> Trace:
    return Trace(revision, Op.DELETE, f"{revision:032x}")


def outside(revision: int) -> Trace:
    return Trace(revision, Op.OUTSIDE, f"{revision:032x}")


def past(*traces: Trace, now: int = 0, trimmed: int = 0, began: int = BEGAN) -> KeyPast:
    current = Document(b"", now, now) if now else None
    return KeyPast(100, current, began, trimmed, traces)


@pytest.mark.parametrize(
    ("known", "revision", "answer"),
    [
        (past(put(20, fresh=True), put(30), now=30), 25, Recorded(put(20, fresh=True))),
        (past(put(20, fresh=True), put(30), now=30), 20, Recorded(put(20, fresh=True))),
        (past(put(20, fresh=True), put(30), now=30), 30, Current()),
        (past(put(20, fresh=True), put(30), now=30), 19, Recorded(None)),
        (past(put(20, fresh=True), delete(30)), 30, Recorded(None)),
        (past(put(20, fresh=True), delete(30)), 29, Recorded(put(20, fresh=True))),
        (past(put(20, fresh=True), delete(30), put(40, fresh=True), now=40), 35, Recorded(None)),
        (past(now=5), 7, Current()),
        (past(), 50, Recorded(None)),
    ],
)
def test_what_is_known_exactly(known: KeyPast, revision: int, answer: object) -> None:
    assert at(known, revision) == answer


@pytest.mark.parametrize(
    ("known", "revision"),
    [
        (past(put(20, fresh=True), put(30), now=30), 9),  # before history begins
        (past(put(20, fresh=True), put(30), now=30, began=0), 25),  # it has ended
        (past(put(20, fresh=True), put(30), now=30, began=21), 22),  # a record of before it began
        (past(put(30), now=30), 29),  # there was one before, of which nothing is known
        (past(put(30), put(40), now=40, trimmed=30), 29),
        (past(put(20, fresh=True), put(30), now=35), 32),  # changed past the service since
        (past(put(20, fresh=True), put(30)), 32),  # deleted past the service since
        (past(put(20, fresh=True), delete(30), now=35), 32),  # put past the service since
        (past(put(20, fresh=True), put(30, fresh=True), now=30), 25),  # deleted past the service in between
        (past(put(20, fresh=True), delete(30), put(40), now=40), 35),  # put past the service in between
        (past(put(20, fresh=True), delete(30), delete(40)), 35),
        (past(put(20, fresh=True), replace(put(30), doubted=True), now=30), 25),  # whoever overwrote it has seen it
        (past(put(20, fresh=True), outside(30), put(40), now=40), 25),  # an audit has found something
        (past(put(20, fresh=True), outside(30), put(40), now=40), 35),
        (past(now=60), 50),
    ],
)
def test_what_can_not_be_known(known: KeyPast, revision: int) -> None:
    assert isinstance(at(known, revision), Unknowable)


@dataclass
class Truth:
    """One key of an etcd in which others write, too. `states`: what it had from each revision on."""

    revision: int = BEGAN
    states: dict[int, int] = field(default_factory=lambda: {BEGAN: 0})  # by revision: that of the document, 0: none
    traces: list[Trace] = field(default_factory=list)
    outsiders: bool = False
    flash: bool = False  # something was put past the service where there was nothing, and deleted past it again

    @property
    def ours(self) -> bool:
        """Whether what there is now was put through the service."""
        return any(trace.mod_revision == self.now for trace in self.traces)

    @property
    def now(self) -> int:
        return self.states[max(self.states)]

    def do(self, what: str) -> None:
        self.revision += 1
        fresh, doubted = not self.now, bool(self.now) and not self.ours
        match what:
            case "put":
                self.traces.append(replace(put(self.revision, fresh=fresh), doubted=doubted))
                self.states[self.revision] = self.revision
            case "delete" if self.now:
                self.traces.append(replace(delete(self.revision), doubted=doubted))
                self.states[self.revision] = 0
            case "put outside":
                self.outsiders = True
                self.states[self.revision] = self.revision
            case "delete outside" if self.now:
                self.flash |= not self.ours
                self.outsiders = True
                self.states[self.revision] = 0
            case "audit" if self.outsiders:
                self.traces.append(outside(self.revision))

    def at(self, revision: int) -> int:
        return self.states[max(since for since in self.states if since <= revision)]

    def past(self, keep: int) -> KeyPast:
        gone = surplus(self.traces, keep)
        kept = tuple(self.traces[len(gone) :])
        current = Document(b"", self.now, self.now) if self.now else None
        return KeyPast(self.revision, current, BEGAN, kept[0].mod_revision if gone else 0, kept)


steps = st.lists(
    st.sampled_from(["put", "put", "delete", "put outside", "delete outside", "audit", "nothing"]), max_size=12
)


@given(steps, st.integers(1, 8))
def test_what_is_said_is_true_and_without_outsiders_all_of_what_is_kept_is_said(did: list[str], keep: int) -> None:
    truth = Truth()
    for each in did:
        truth.do(each)
    known = truth.past(keep)
    for revision in range(BEGAN, truth.revision + 1):
        match at(known, revision):
            case Current():
                assert known.current
                assert truth.at(revision) == known.current.mod_revision
            case Recorded(trace):
                assert truth.flash or truth.at(revision) == (trace.mod_revision if trace else 0)
            case Unknowable():
                assert truth.outsiders or revision < known.trimmed


def test_surplus_are_all_but_the_last_of_any_part() -> None:
    traces = [put(revision) for revision in (30, 10, 20, 40)]
    assert surplus(traces, 2) == (put(10), put(20))
    assert surplus(traces, 4) == ()
    assert surplus((), 1) == ()


def test_records_are_told_by_their_names() -> None:
    nonce, other = "0" * 32, "1" * 32
    assert named(nonce + "p") == (nonce, "p")
    assert all(named(each) is None for each in ("", "p", nonce, nonce + "x", nonce + "pp", "g" * 32 + "p"))
    found = [(other + "d", 7), (nonce + "+", 5), (nonce + "p", 5), ("", 6), ("by hand", 9)]
    assert traced(found) == (Trace(5, Op.PUT, nonce, fresh=True), Trace(7, Op.DELETE, other))


@given(st.binary(max_size=40), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_record_is_read_as_it_was_written(document: bytes, why: str) -> None:
    record = Record(7, Op.PUT, 1.5, Author("a", "b", why), len(document), document)
    trace = Trace(7, Op.PUT, "0" * 32)
    assert Record.decode(trace, record.encode()) == record
    assert Record.decode(trace, replace(record, document=None).encode()) == replace(record, document=None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"at": "x"}\n',
        b'{"at": 1, "by": "' + b"a" * 200 + b'"}\n',
        b'{"at": 1, "why": "\\ud800"}\n',
    ],
)
def test_what_is_no_record_tells_that_something_was_done_and_nothing_else(raw: bytes) -> None:
    assert Record.decode(Trace(7, Op.PUT, "0" * 32), raw) == Record(7, Op.PUT)


def test_a_document_that_is_not_whole_is_none() -> None:
    """A record that somebody has cut short must not become a document."""
    raw = Record(7, Op.PUT, 1.0, Author(), 10, b"0123456789").encode()
    assert Record.decode(Trace(7, Op.PUT, "0" * 32), raw[:-1]).document is None
