"""What rule 19 needs of a store: kept by the fake, and by the store over simulated and real etcds alike."""

from __future__ import annotations

import pytest

from consistency.core.model import NOBODY, Author, Authors, MustBeAbsent, VersionRecord
from consistency.core.past import surplus
from consistency.core.records import Keeping, Op, Trace
from consistency.core.store import Change, Commit, Delete, Put
from consistency.etcd.transactions import MAX_CHANGES, MAX_REQUEST
from tests.etcd.conftest import TIMEOUT, Subject
from tests.support.driver import run

pytestmark = pytest.mark.secured

KEEPING = Keeping(max_bytes=100, at=12.5)


class Writer:
    """Of one subject: each write with a nonce of its own."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._written = 0

    def write(
        self, *changes: Change, keeping: Keeping | None = KEEPING, author: Author = NOBODY, policy: int | None = None
    ) -> Commit:
        self._written += 1
        names = frozenset(change.key for change in changes)
        record = VersionRecord(f"{self._written:032x}", names, "batch", False, Authors.of_all(author), kept=True)
        return run(self._subject.store.commit(changes, record, keeping=keeping, policy=policy, timeout=TIMEOUT))


@pytest.fixture
def writer(subject: Subject) -> Writer:
    return Writer(subject)


def traces(subject: Subject, key: str) -> tuple[Trace, ...]:
    return run(subject.store.traces(key, timeout=TIMEOUT)).traces


def test_a_write_leaves_a_record_of_itself(subject: Subject, writer: Writer) -> None:
    author = Author("team", "request", "because: é")
    first = writer.write(Put("a", b"[1]"), author=author).header.revision
    second = writer.write(Put("a", b"2")).header.revision
    third = writer.write(Delete("a")).header.revision
    found = run(subject.store.traces("a", timeout=TIMEOUT))
    assert [(each.mod_revision, each.op, each.fresh) for each in found.traces] == [
        (first, Op.PUT, True),
        (second, Op.PUT, False),
        (third, Op.DELETE, False),
    ]
    assert (found.current, found.began, found.trimmed) == (None, 0, 0)
    records = run(subject.store.recorded("a", found.traces, found.revision, timeout=TIMEOUT))
    assert [(each.mod_revision, each.document, each.at) for each in records] == [
        (first, b"[1]", 12.5),
        (second, b"2", 12.5),
        (third, None, 12.5),
    ]
    assert (records[0].author, records[0].size) == (author, 3)


def test_what_is_there_now_is_told_in_the_same_breath(subject: Subject, writer: Writer) -> None:
    revision = writer.write(Put("a", b"1")).header.revision
    found = run(subject.store.traces("a", timeout=TIMEOUT))
    assert found.current is not None
    assert (found.current.mod_revision, found.current.data) == (revision, b"")


def test_no_key_is_told_the_past_of_another(subject: Subject, writer: Writer) -> None:
    """One that begins with it, and a slash, or anything."""
    for key in ("a", "ab", "a/b", "a\x00b"):
        writer.write(Put(key, b"1"))
    assert [len(traces(subject, key)) for key in ("a", "ab", "a/b", "a\x00b", "")] == [1, 1, 1, 1, 0]


def test_a_refused_write_leaves_none(subject: Subject, writer: Writer) -> None:
    writer.write(Put("a", b"1"))
    assert not writer.write(Put("a", b"2", MustBeAbsent())).committed
    assert len(traces(subject, "a")) == 1


def test_a_delete_of_what_is_not_there_leaves_none(subject: Subject, writer: Writer) -> None:
    """It is no change: it would take the place of one among those that are kept."""
    assert writer.write(Delete("a")).committed
    assert traces(subject, "a") == ()
    writer.write(Put("a", b"1"), Delete("b"))
    at = writer.write(Delete("a"), Put("b", b"1")).header.revision
    assert writer.write(Delete("a"), Put("b", b"2")).committed
    assert [(each.op, each.fresh) for each in traces(subject, "a")] == [(Op.PUT, True), (Op.DELETE, False)]
    assert traces(subject, "a")[-1].mod_revision == at
    assert [(each.op, each.fresh) for each in traces(subject, "b")] == [(Op.PUT, True), (Op.PUT, False)]


def test_a_document_that_is_too_large_is_not_kept_and_the_record_says_so(subject: Subject, writer: Writer) -> None:
    writer.write(Put("a", b"1" * 101), Put("b", b"1" * 100))
    for key, kept in (("a", None), ("b", b"1" * 100)):
        found = run(subject.store.traces(key, timeout=TIMEOUT))
        (record,) = run(subject.store.recorded(key, found.traces, found.revision, timeout=TIMEOUT))
        assert record.document == kept
        assert record.size == len(kept or b"1" * 101)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_largest_batch_leaves_a_record_of_each_key(subject: Subject, writer: Writer, conditional: bool) -> None:
    """etcd takes 128 operations in a transaction, and as many in each within it as that leaves."""
    writer.write(Put("50", b"1"))
    at = subject.store.policy(timeout=TIMEOUT)
    policy = run(at).policy.mod_revision
    precondition = MustBeAbsent() if conditional else None
    keys = [f"{number:02}" for number in range(MAX_CHANGES) if not (conditional and number == 50)]
    done = writer.write(*(Put(key, b"2", precondition) for key in keys), policy=policy)
    assert done.committed
    assert [before > 0 for before in done.before] == [key == "50" for key in keys]
    for key in keys:
        found = traces(subject, key)
        assert (found[-1].mod_revision, found[-1].fresh) == (done.header.revision, key != "50")


def test_a_write_never_fails_for_its_history(subject: Subject, writer: Writer) -> None:
    """What doesn't fit into one request is left out of the record, not of the document."""
    half = MAX_REQUEST // 4
    done = writer.write(*(Put(key, b"1" * half) for key in "ab"), keeping=Keeping(MAX_REQUEST, 1.0))
    assert done.committed
    kept = []
    for key in "ab":
        found = run(subject.store.traces(key, timeout=TIMEOUT))
        (record,) = run(subject.store.recorded(key, found.traces, found.revision, timeout=TIMEOUT))
        kept.append(record.document is not None)
        assert record.size == half
    assert sorted(kept) in ([False, True], [True, True])  # the fake has no such bound


def test_a_write_that_leaves_none_ends_history(subject: Subject, writer: Writer) -> None:
    run(subject.store.begin_past(anew=False, timeout=TIMEOUT))
    began = run(subject.store.traces("a", timeout=TIMEOUT)).began
    assert began > 0
    run(subject.store.begin_past(anew=False, timeout=TIMEOUT))
    writer.write(Put("a", b"1"))
    assert run(subject.store.traces("a", timeout=TIMEOUT)).began == began
    writer.write(Put("a", b"2"), keeping=None)
    assert run(subject.store.traces("a", timeout=TIMEOUT)).began == 0
    run(subject.store.begin_past(anew=True, timeout=TIMEOUT))
    assert run(subject.store.traces("a", timeout=TIMEOUT)).began > began


def test_an_audit_leaves_records_of_what_it_has_found(subject: Subject, writer: Writer) -> None:
    writer.write(Put("a", b"1"))
    record = VersionRecord("f" * 32, frozenset({"a", "b"}), "audit", kept=True)
    done = run(subject.store.commit((), record, keeping=KEEPING, timeout=TIMEOUT))
    for key in ("a", "b"):
        last = traces(subject, key)[-1]
        assert (last.op, last.mod_revision) == (Op.OUTSIDE, done.header.revision)


def test_what_is_surplus_is_removed_and_it_is_known_from_where_on(subject: Subject, writer: Writer) -> None:
    revisions = [writer.write(Put("a", b"1")).header.revision for _ in range(5)]
    writer.write(Put("b", b"1"))
    gone = surplus(traces(subject, "a"), 2)
    assert run(subject.store.forget("a", gone, revisions[3], timeout=TIMEOUT))
    found = run(subject.store.traces("a", timeout=TIMEOUT))
    assert [each.mod_revision for each in found.traces] == revisions[3:]
    assert found.trimmed == revisions[3]
    assert len(traces(subject, "b")) == 1
    assert run(subject.store.forget("a", (), revisions[0], timeout=TIMEOUT))
    assert run(subject.store.traces("a", timeout=TIMEOUT)).trimmed == revisions[3], "it never falls"


def test_a_write_may_learn_later_that_it_has_overwritten_what_nobody_knew(subject: Subject, writer: Writer) -> None:
    writer.write(Put("a", b"1"))
    writer.write(Put("a", b"2"))
    run(subject.store.doubt(["a"], f"{2:032x}", timeout=TIMEOUT))
    assert [each.doubted for each in traces(subject, "a")] == [False, True]
    assert run(subject.store.forget("a", traces(subject, "a"), 1 << 40, timeout=TIMEOUT))
    assert traces(subject, "a") == ()


def test_all_records_are_walked_through_in_pages(subject: Subject, writer: Writer) -> None:
    for key in ("a", "a", "b/x", "c"):
        writer.write(Put(key, b"1"))
    for prefix, expected in (("", ["a", "a", "b/x", "c"]), ("b/", ["b/x"]), ("d", [])):
        found: list[str] = []
        place, first = b"", True
        while first or place:
            page = run(subject.store.past_names(prefix, after=place, limit=2, timeout=TIMEOUT))
            found += [key for key, name, _ in page.found if not name.endswith("+")]
            place, first = page.place, False
        assert found == expected


def test_everything_can_be_removed_a_part_at_a_time(subject: Subject, writer: Writer) -> None:
    run(subject.store.begin_past(anew=False, timeout=TIMEOUT))
    for key in ("a", "b", "c"):
        writer.write(Put(key, b"1"))
    rounds = 1
    while run(subject.store.forget_all(limit=2, timeout=TIMEOUT)):
        rounds += 1
    assert rounds > 1
    assert not any(traces(subject, key) for key in ("a", "b", "c"))
    assert run(subject.store.traces("a", timeout=TIMEOUT)).began == 0
