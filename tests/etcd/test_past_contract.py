"""The contract of a store's reads of the past (rule 18), kept by the fake and by the store over a real etcd alike."""

from __future__ import annotations

import pytest

from consistency.core.model import NO_VERSION, VersionEvent
from consistency.core.store import Compacted, Delete, NotReached, Put, Scan, TooLarge
from tests.etcd.conftest import TIMEOUT, Subject, version
from tests.support.driver import run

pytestmark = pytest.mark.secured

MUCH = 10_000


def scan(
    subject: Subject, prefix: str, at: int, *, after: str | bytes = "", limit: int = 10, names_only: bool = False
) -> Scan:
    return run(subject.store.scan(prefix, after=after, limit=limit, at=at, names_only=names_only, timeout=TIMEOUT))


def test_values_are_those_of_the_revision_in_the_order_asked(subject: Subject) -> None:
    old = subject.put("a", b"1").header.revision
    subject.put("b", b"2")
    now = subject.put("a", b"3").header.revision
    then = run(subject.store.values(["b", "a", "c"], old, timeout=TIMEOUT))
    assert [document and (document.data, document.mod_revision) for document in then] == [None, (b"1", old), None]
    today = run(subject.store.values(["c", "a"], now, timeout=TIMEOUT))
    assert [document and (document.data, document.mod_revision) for document in today] == [None, (b"3", now)]
    bare = run(subject.store.values(["a"], now, names_only=True, timeout=TIMEOUT))
    assert [document and (document.data, document.mod_revision) for document in bare] == [(b"", now)]


def test_a_scan_goes_page_by_page_through_one_revision(subject: Subject) -> None:
    for key in ("p/a", "p/b", "p/c", "q"):
        at = subject.put(key, key.encode()).header.revision
    subject.delete("p/b")
    first = scan(subject, "p/", at, limit=2)
    assert [(key, document.data) for key, document in first.documents] == [("p/a", b"p/a"), ("p/b", b"p/b")]
    assert first.more
    second = scan(subject, "p/", at, after="p/b", limit=2)
    assert [key for key, _ in second.documents] == ["p/c"]
    assert not second.more
    assert [key for key, _ in scan(subject, "p/", at, after=b"p/b").documents] == ["p/b", "p/c"], "from that name on"
    bare = scan(subject, "", at, names_only=True).documents
    assert [(key, document.data) for key, document in bare] == [(key, b"") for key in ("p/a", "p/b", "p/c", "q")]


def test_a_scan_of_large_documents_gives_fewer_of_them(subject: Subject) -> None:
    """etcd's answers have 4 MiB at most; what does not fit in comes with the next page."""
    large = b'"' + b"x" * 1_400_000 + b'"'
    for key in "abcd":
        at = subject.put(key, large).header.revision
    found: list[str] = []
    while True:
        page = scan(subject, "", at, after=found[-1] if found else "", limit=10)
        found += [key for key, _ in page.documents]
        assert all(document.data == large for _, document in page.documents)
        if not page.more:
            break
    assert found == list("abcd")


def test_the_versions_since_a_revision_come_in_order_with_what_stood_there(subject: Subject) -> None:
    first = subject.put("a").header.revision
    run(subject.store.commit([Put("b", b"1"), Delete("a")], version("a", "b", nonce="n2"), timeout=TIMEOUT))
    last = subject.put("c").header.revision
    subject.put("d")
    past = run(subject.store.versions(first, last, most=MUCH, timeout=TIMEOUT))
    assert (past.start.revision, past.start.count) == (first, 1)
    assert [event.names for event in past.events] == [frozenset("ab"), frozenset("c")]
    assert [(event.state.count, event.state.revision) for event in past.events][-1] == (3, last)
    assert past.events[0].state.nonce == "n2"
    none = run(subject.store.versions(last, last, most=MUCH, timeout=TIMEOUT))
    assert (none.start.count, none.events) == (3, ())


def test_versions_from_between_two_of_them_start_from_the_earlier_one(subject: Subject) -> None:
    """A token's revision is mostly that of no version: etcd's rises by other writes, too."""
    at = subject.put("a").header.revision
    subject.put_outside("x", b"1", 0)
    last = subject.put("b").header.revision
    past = run(subject.store.versions(at + 1, last, most=MUCH, timeout=TIMEOUT))
    assert past.start.revision == at
    assert [event.names for event in past.events] == [frozenset("b")]


def test_a_version_that_was_deleted_shows(subject: Subject) -> None:
    first = subject.put("a").header.revision
    subject.delete_version()
    last = subject.put("b").header.revision
    past = run(subject.store.versions(first, last, most=MUCH, timeout=TIMEOUT))
    assert past.events[0] == VersionEvent(type(NO_VERSION)(past.events[0].state.revision, 0, 0, ""), None)
    assert past.events[1].state.count == 1


def test_before_the_first_version_there_is_none(subject: Subject) -> None:
    subject.put_outside("x", b"1", 0)
    last = subject.put("a").header.revision
    assert run(subject.store.versions(last - 1, last, most=MUCH, timeout=TIMEOUT)).start == NO_VERSION


def test_more_versions_than_asked_for_are_refused(subject: Subject) -> None:
    first = subject.put("a").header.revision
    last = [subject.put(key).header.revision for key in "bcd"][-1]
    with pytest.raises(TooLarge):
        run(subject.store.versions(first, last, most=5, timeout=TIMEOUT))
    assert len(run(subject.store.versions(first, last, most=6, timeout=TIMEOUT)).events) == 3


def test_a_past_that_is_gone_is_told_from_one_that_is_yet_to_come(subject: Subject) -> None:
    at = subject.put("a", b"1").header.revision
    now = subject.put("a", b"2").header.revision
    far = now + 1000
    with pytest.raises(NotReached):
        run(subject.store.values(["a"], far, timeout=TIMEOUT))
    with pytest.raises(NotReached):
        scan(subject, "", far)
    with pytest.raises(NotReached):
        run(subject.store.versions(far, far, most=MUCH, timeout=TIMEOUT))
    subject.compact(now)
    with pytest.raises(Compacted):
        run(subject.store.values(["a"], at, timeout=TIMEOUT))
    with pytest.raises(Compacted):
        scan(subject, "", at)
    with pytest.raises(Compacted):
        run(subject.store.versions(at, now, most=MUCH, timeout=TIMEOUT))
    assert run(subject.store.versions(now, now, most=MUCH, timeout=TIMEOUT)).start.revision == now


def test_revision_0_is_no_past(subject: Subject) -> None:
    """To etcd it means "now"."""
    subject.put("a")
    for work in (subject.store.values(["a"], 0, timeout=TIMEOUT),):
        with pytest.raises(ValueError, match="count from 1"):
            run(work)
    with pytest.raises(ValueError, match="count from 1"):
        scan(subject, "", 0)
    with pytest.raises(ValueError, match="count from 1"):
        run(subject.store.versions(0, 1, most=MUCH, timeout=TIMEOUT))
