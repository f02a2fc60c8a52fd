"""What rules 16 and 17 need of a store: kept by the fake, and by the store over simulated and real etcds alike."""

from __future__ import annotations

import pytest

from consistency.core.model import (
    Fence,
    Intent,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    VersionEvent,
    VersionRecord,
    new_nonce,
)
from consistency.core.store import Change, Commit, Delete, Put, Unavailable, Want
from tests.etcd.conftest import TIMEOUT, Subject, version
from tests.etcd.test_store_contract import take
from tests.support.driver import run

pytestmark = pytest.mark.secured

KEYS = frozenset({"a", "b"})


def announced(*keys: str, nonce: str = "i") -> VersionRecord:
    return VersionRecord(new_nonce(), frozenset(), "intent", ack=True, intent=Intent(nonce, frozenset(keys) or None))


def granted(subject: Subject) -> int:
    return run(subject.store.grant(60, timeout=TIMEOUT)).id


def intend(
    subject: Subject, *changes: Change, record: VersionRecord | None = None, lease: int = 0, policy: int = 0
) -> Commit:
    """The intent of these changes."""
    told = record or announced(*(change.key for change in changes))
    lease = lease or granted(subject)
    return run(subject.store.intend(changes, told, lease=lease, policy=policy, timeout=TIMEOUT))


def under_way(subject: Subject) -> frozenset[str]:
    """As a read tells it, and a survey."""
    answer = run(subject.store.read([], None, intents=True, timeout=TIMEOUT))
    survey = run(subject.store.survey(None, timeout=TIMEOUT))
    assert answer.intents == frozenset(intent.nonce for intent in survey.intents)
    return answer.intents or frozenset()


def test_an_intent_is_put_and_told_and_changes_nothing(subject: Subject) -> None:
    before = subject.put("a").header.revision
    record = announced(*KEYS)
    commit = intend(subject, Put("a", b"2"), Delete("b"), record=record)
    at = commit.header.revision
    assert (commit.committed, commit.members) == (True, ())
    (event,) = take(subject, at, at, 1)
    assert isinstance(event, VersionEvent)
    assert (event.state.revision, event.names, event.ack, event.intent) == (at, frozenset(), True, Intent("i", KEYS))
    answer = run(subject.store.read([Want("a")], None, intents=True, timeout=TIMEOUT))
    assert answer.found[0].document is not None
    assert answer.found[0].document.mod_revision == before
    assert answer.intents == frozenset({"i"})
    assert run(subject.store.survey(None, timeout=TIMEOUT)).intents == (Intent("i", KEYS),)


def test_nobody_is_told_of_intents_who_has_not_asked(subject: Subject) -> None:
    intend(subject, Put("a", b"1"))
    assert run(subject.store.read([], None, timeout=TIMEOUT)).intents is None


def test_one_that_holds_every_key_is_told_as_that(subject: Subject) -> None:
    intend(subject)
    assert run(subject.store.survey(None, timeout=TIMEOUT)).intents == (Intent("i", None),)


def test_an_intent_ranges_over_the_members(subject: Subject) -> None:
    lease = granted(subject)
    assert run(subject.store.claim(5, lease, "{}", timeout=TIMEOUT))
    assert intend(subject, Put("a", b"1"), lease=lease).members == (5,)


def test_an_intent_asks_for_the_preconditions_of_its_write(subject: Subject) -> None:
    """And says what it has found, as the write would."""
    here = subject.put("a").header.revision
    refused = intend(subject, Put("a", b"2", MustBeAbsent()), Delete("b", MustExist()))
    assert (refused.committed, refused.before, refused.header.revision) == (False, (here, 0), here)
    assert not under_way(subject)
    assert intend(subject, Put("a", b"2", MustBeAt(here)), Put("b", b"1", MustBeAbsent())).committed


def test_an_intent_compares_the_policy(subject: Subject) -> None:
    record = VersionRecord("n", frozenset(), "policy", policy=True)
    at = run(subject.store.commit((), record, policy=0, new_policy=b"{}", timeout=TIMEOUT)).header.revision
    refused = intend(subject, Put("a", b"1"))
    assert (refused.committed, refused.policy, refused.before) == (False, at, (0,))
    assert not under_way(subject)
    assert intend(subject, Put("a", b"1"), policy=at).committed


def test_an_intent_of_100_keys_fits(subject: Subject) -> None:
    """And so does its commit, with all that it leaves of itself."""
    changes = [Put(str(number), b"1", MustBeAbsent()) for number in range(100)]
    fence = Fence("i", intend(subject, *changes).header.revision)
    record = version(*(change.key for change in changes))
    commit = run(subject.store.commit(changes, record, policy=0, fence=fence, timeout=TIMEOUT))
    assert (commit.committed, commit.before) == (True, (0,) * 100)
    assert not under_way(subject)


def test_an_intent_ends_with_its_lease(subject: Subject) -> None:
    lease = granted(subject)
    intend(subject, Put("a", b"1"), lease=lease)
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    assert not under_way(subject)


def test_without_its_lease_none_is_put(subject: Subject) -> None:
    lease = granted(subject)
    run(subject.store.revoke(lease, timeout=TIMEOUT))
    with pytest.raises(Unavailable, match="lease"):
        intend(subject, Put("a", b"1"), lease=lease)
    assert not under_way(subject)


def test_one_without_a_lease_is_nobodys(subject: Subject) -> None:
    """It would hold its keys for ever."""
    subject.put_raw("intents/by-hand", b"{}", 0)
    assert not under_way(subject)


def test_one_that_cannot_be_read_holds_every_key(subject: Subject) -> None:
    subject.put_raw("intents/by-hand", b"{", granted(subject))
    assert run(subject.store.survey(None, timeout=TIMEOUT)).intents == (Intent("by-hand", None),)


def test_a_commit_ends_its_intent_and_says_so(subject: Subject) -> None:
    fence = Fence("i", intend(subject, Put("a", b"1")).header.revision)
    record = VersionRecord(new_nonce(), frozenset("a"), "put", release="i")
    commit = run(subject.store.commit([Put("a", b"1")], record, fence=fence, timeout=TIMEOUT))
    assert (commit.committed, commit.lapsed) == (True, False)
    (event,) = take(subject, commit.header.revision, commit.header.revision, 1)
    assert isinstance(event, VersionEvent)
    assert (event.names, event.release, event.intent) == (frozenset({"a"}), "i", None)
    assert not under_way(subject)


def test_a_commit_without_its_intent_does_nothing(subject: Subject) -> None:
    """The same holds if somebody has put the intent again: in between the keys were not held."""
    lease = granted(subject)
    fence = Fence("i", intend(subject, Put("a", b"1"), lease=lease).header.revision)
    run(subject.store.withdraw(["i"], timeout=TIMEOUT))
    refused = run(subject.store.commit([Put("a", b"1")], version("a"), policy=0, fence=fence, timeout=TIMEOUT))
    assert (refused.committed, refused.lapsed, refused.policy, refused.before) == (False, True, 0, (0,))
    intend(subject, Put("a", b"1"), lease=lease)
    assert run(subject.store.commit([Put("a", b"1")], version("a"), fence=fence, timeout=TIMEOUT)).lapsed


@pytest.mark.parametrize("policy", [None, 0])
def test_a_commit_that_is_refused_ends_its_intent_as_well(subject: Subject, policy: int | None) -> None:
    here = subject.put("a").header.revision
    fence = Fence("i", intend(subject, Put("a", b"1")).header.revision)
    change = Put("a", b"2", MustBeAbsent())
    refused = run(subject.store.commit([change], version("a"), policy=policy, fence=fence, timeout=TIMEOUT))
    assert (refused.committed, refused.lapsed, refused.before) == (False, False, (here,))
    assert not under_way(subject)


def test_what_is_withdrawn_is_gone_and_what_is_not_there_is_no_failure(subject: Subject) -> None:
    intend(subject, Put("a", b"1"), record=announced("a", nonce="i"))
    intend(subject, Put("b", b"1"), record=announced("b", nonce="j"))
    run(subject.store.withdraw(["i", "unheard-of"], timeout=TIMEOUT))
    assert under_way(subject) == frozenset({"j"})


def test_intents_take_the_place_of_one_want(subject: Subject) -> None:
    wants = [Want(str(number)) for number in range(126)]
    assert len(run(subject.store.read(wants[:125], 1, intents=True, timeout=TIMEOUT)).found) == 125
    with pytest.raises(ValueError, match="126"):
        run(subject.store.read(wants, 1, intents=True, timeout=TIMEOUT))
