"""What rules 15 and 16 need of a store: kept by the fake, and by the store over simulated and real etcds alike."""

from __future__ import annotations

import pytest

from consistency.core.model import MustBeAbsent, MustBeAt, Policy, VersionEvent, VersionRecord
from consistency.core.store import Delete, Put
from tests.etcd.conftest import TIMEOUT, Subject, version
from tests.etcd.test_store_contract import take
from tests.support.driver import run

pytestmark = pytest.mark.secured

TEXT = b'{"guarded": ["flags/"]}'


def put_policy(subject: Subject, text: bytes, over: int) -> int:
    """The revision of a policy that was put over another one; 0 if it was not."""
    record = VersionRecord("n", frozenset(), "policy", policy=True)
    commit = run(subject.store.commit((), record, policy=over, new_policy=text, timeout=TIMEOUT))
    return commit.header.revision if commit.committed else 0


def test_without_a_policy_there_is_none(subject: Subject) -> None:
    assert run(subject.store.policy(timeout=TIMEOUT)).policy == Policy.none()
    assert run(subject.store.survey(None, timeout=TIMEOUT)).policy == Policy.none()


def test_a_policy_is_read_as_it_was_put(subject: Subject) -> None:
    """Rule 15: by itself, and in the transaction of a survey."""
    at = put_policy(subject, TEXT, 0)
    found = run(subject.store.policy(timeout=TIMEOUT))
    assert found.policy == Policy.read(TEXT, at)
    assert found.header.revision >= at
    assert run(subject.store.survey(None, timeout=TIMEOUT)).policy == Policy.read(TEXT, at)
    assert run(subject.store.survey(at, timeout=TIMEOUT)).policy == Policy.read(TEXT, at)


def test_a_version_tells_of_a_change_of_the_policy(subject: Subject) -> None:
    at = put_policy(subject, TEXT, 0)
    (event,) = take(subject, at, at, 1)
    assert isinstance(event, VersionEvent)
    assert (event.policy, event.names, event.state.revision) == (True, frozenset(), at)


def test_a_policy_is_put_only_over_the_one_that_is_named(subject: Subject) -> None:
    at = put_policy(subject, TEXT, 0)
    assert not put_policy(subject, b"{}", 0)
    assert not put_policy(subject, b"{}", at - 1)
    assert run(subject.store.policy(timeout=TIMEOUT)).policy.text == TEXT
    assert put_policy(subject, b"{}", at) > at


@pytest.mark.parametrize("count", [1, 100])
def test_a_write_under_another_policy_than_the_one_in_force_does_nothing(subject: Subject, count: int) -> None:
    """Rule 15. Each of them has found what was there before: a refusal tells all of it."""
    at = put_policy(subject, TEXT, 0)
    before = subject.put("0").header.revision
    changes = [Put(str(number), b"2") for number in range(count)]
    for other in (0, at + 1):
        refused = run(subject.store.commit(changes, version("0"), policy=other, timeout=TIMEOUT))
        assert not refused.committed
        assert refused.policy == at
        assert refused.before == (before, *(0,) * (count - 1))
    assert run(subject.store.policy(timeout=TIMEOUT)).header.revision == before
    assert run(subject.store.commit(changes, version("0"), policy=at, timeout=TIMEOUT)).committed


def test_a_refusal_tells_the_policy_from_the_preconditions(subject: Subject) -> None:
    at = put_policy(subject, TEXT, 0)
    here = subject.put("a").header.revision
    refused = run(subject.store.commit([Put("a", b"2", MustBeAbsent())], version("a"), policy=at, timeout=TIMEOUT))
    assert (refused.committed, refused.policy, refused.before) == (False, at, (here,))
    both = run(subject.store.commit([Delete("a", MustBeAt(1))], version("a"), policy=0, timeout=TIMEOUT))
    assert (both.committed, both.policy, both.before) == (False, at, (here,))
    assert run(subject.store.commit([Delete("a", MustBeAt(here))], version("a"), policy=at, timeout=TIMEOUT)).committed


def test_a_write_that_names_no_policy_is_compared_with_none(subject: Subject) -> None:
    """What changes no document, as an audit's version: rule 15 is not about it."""
    put_policy(subject, TEXT, 0)
    commit = run(subject.store.commit((), version(), timeout=TIMEOUT))
    assert (commit.committed, commit.policy) == (True, 0)
