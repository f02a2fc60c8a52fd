"""Every write is decided under the policy that its transaction compares (rule 15)."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from consistency import AsyncDistributedCache, CacheOptions, Policy, PolicyChanged, PreconditionFailed, Unavailable
from consistency.core.events import Event, PolicyPut
from consistency.core.model import Author
from consistency.core.store import NoSpace, Put, TooLarge
from consistency.instance.policies import MOST_TRIES
from consistency.instance.writes import Approve
from tests.support.driver import Meanwhile, run, until
from tests.support.fake_store import FakeStore
from tests.support.gates import At

OPTIONS = CacheOptions(staleness_bound=0.2, timeout=5.0)
FIRST, SECOND = b'{"guarded": []}', b'{"history": {"keep": 1}}'


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore) -> Iterator[AsyncDistributedCache]:
    """An instance that has joined, watches, and has proven itself."""
    made = AsyncDistributedCache(store, OPTIONS)
    run(_start(made))
    assert until(lambda: made.status().fresh)
    yield made
    run(made.close())


async def _start(cache: AsyncDistributedCache) -> None:
    cache.start()


def put_policy_outside(store: FakeStore, text: bytes) -> int:
    """As etcdctl would: no version tells of it."""
    return store.put_raw(store.layout.policy, text)


class Approval:
    """Agrees, or raises, and remembers under which policies it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Policy] = []
        self._error = error

    async def __call__(self, policy: Policy) -> None:
        self.asked.append(policy)
        if self._error is not None:
            raise self._error


def test_an_instance_knows_the_policy_from_its_first_survey(store: FakeStore) -> None:
    at = put_policy_outside(store, FIRST)
    cache = AsyncDistributedCache(store, OPTIONS)
    assert cache.policy == Policy.none()
    run(_start(cache))
    assert until(lambda: cache.policy == Policy.read(FIRST, at))
    assert store.calls["policy"] == 0
    run(cache.close())


def test_a_change_of_policy_is_read_by_all_who_apply_its_version(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    other = AsyncDistributedCache(store, OPTIONS)
    written = run(other.put_policy(FIRST))
    assert other.policy == Policy.read(FIRST, written.revision)
    assert until(lambda: cache.policy == Policy.read(FIRST, written.revision))


@pytest.mark.parametrize("text", [b'{"guarded": ["a"]}', b"{}"], ids=["guarded", "plain"])
def test_the_version_of_a_policy_says_who_put_it_and_each_instance_tells_it(store: FakeStore, text: bytes) -> None:
    """Rule 15: as a write of a document does, whether it takes two steps or one."""
    told: list[Event] = []
    here = AsyncDistributedCache(store, OPTIONS, observer=told.append)
    run(_start(here))
    assert until(lambda: here.status().fresh)
    other, author = AsyncDistributedCache(store, OPTIONS), Author("ops", "r-1", "limits for all")
    written = run(other.put_policy(text, author=author))
    assert until(lambda: here.policy.mod_revision == written.revision)
    assert [event for event in told if isinstance(event, PolicyPut)] == [PolicyPut(written.revision, author)]
    run(here.close())


def test_a_policy_is_put_only_over_the_one_that_was_seen(cache: AsyncDistributedCache) -> None:
    first = run(cache.put_policy(FIRST, if_match=0)).revision
    with pytest.raises(PreconditionFailed) as refused:
        run(cache.put_policy(SECOND, if_match=0))
    assert refused.value.current == first
    second = run(cache.put_policy(SECOND, if_match=first)).revision
    assert run(cache.read_policy()) == Policy.read(SECOND, second)


def test_a_policy_that_nobody_would_read_is_not_put(cache: AsyncDistributedCache) -> None:
    with pytest.raises(TooLarge):
        run(cache.put_policy(b" " * (256 * 1024) + b"{}"))


def test_a_write_is_approved_under_the_policy_that_its_transaction_compares(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    """1. Approved under the policy that is known; 2. it has changed; 3. nothing is done; 4. approved under that one."""
    approval = Approval()
    at = put_policy_outside(store, FIRST)
    commits = store.calls["commit"]
    run(cache.put("a", b"1", approve=approval))
    assert approval.asked == [Policy.none(), Policy.read(FIRST, at)]
    assert store.calls["commit"] == commits + 2
    run(cache.put("a", b"2", approve=approval))
    assert approval.asked[2:] == [Policy.read(FIRST, at)]


class RefusedError(Exception):
    """What the caller's own rules say."""


WAYS: dict[str, Callable[[AsyncDistributedCache, Approve], Coroutine[Any, Any, object]]] = {
    "put": lambda cache, approve: cache.put("a", b"2", approve=approve),
    "sync": lambda cache, approve: cache.put("a", b"2", sync=True, approve=approve),
    "delete": lambda cache, approve: cache.delete("a", approve=approve),
    "apply": lambda cache, approve: cache.apply([Put("a", b"2")], approve=approve),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_approve_raises_refuses_the_write(store: FakeStore, cache: AsyncDistributedCache, way: str) -> None:
    """Under the policy that is known, and under one that is found instead: nothing is written."""

    async def under_the_first_only(policy: Policy) -> None:
        if policy.text is not None:
            raise RefusedError

    run(cache.put("a", b"1"))
    put_policy_outside(store, FIRST)
    with pytest.raises(RefusedError):
        run(WAYS[way](cache, under_the_first_only))
    assert store.document("a") == b"1"


def test_puts_share_a_transaction_only_under_the_same_policy(store: FakeStore, cache: AsyncDistributedCache) -> None:
    """1. A group waits, approved under no policy; 2. one is found; 3. who was approved under it goes by itself.

    Of the group each is asked again; were the two to go together, one of them would be compared with what it was not
    approved under.
    """
    gate = store.hold("commit", At.REQUEST)
    cache._writes._group._calls.patience = 60.0  # a machine that is busy sends no second one meanwhile
    ahead = Meanwhile(cache.put("ahead", b"1"))
    gate.wait_until_held()
    old = Approval()
    waits = Meanwhile(cache.put("a", b"1", approve=old))
    assert until(lambda: len(old.asked) == 1)
    at = put_policy_outside(store, FIRST)
    run(cache.read_policy())
    new = Approval()
    comes = Meanwhile(cache.put("b", b"1", approve=new))
    assert until(lambda: len(new.asked) == 1)
    gate.release()
    for writer in (ahead, waits, comes):
        writer.result()
    assert old.asked == [Policy.none(), Policy.read(FIRST, at)]
    assert new.asked == [Policy.read(FIRST, at)]


def test_a_policy_that_changes_again_and_again_ends_a_write_that_was_not_done(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    async def changes_meanwhile(policy: Policy) -> None:
        put_policy_outside(store, json.dumps({"guarded": [], "after": policy.mod_revision}).encode())

    with pytest.raises(Unavailable, match=f"changed {MOST_TRIES} times"):
        run(cache.put("a", b"1", approve=changes_meanwhile))
    assert store.document("a") is None


def test_no_write_is_done_under_a_policy_that_cannot_be_read_until_it_is_mended(
    store: FakeStore, cache: AsyncDistributedCache
) -> None:
    put_policy_outside(store, b"{")
    approval = Approval()
    with pytest.raises(Unavailable, match="can't be read: Expecting property name"):
        run(cache.put("a", b"1", approve=approval))
    assert [policy.text for policy in approval.asked] == [None]
    assert store.document("a") is None
    run(cache.put_policy(FIRST))
    run(cache.put("a", b"1", approve=approval))
    assert store.document("a") == b"1"


def test_one_that_was_mended_elsewhere_is_found_mended(store: FakeStore, cache: AsyncDistributedCache) -> None:
    put_policy_outside(store, b"{")
    run(cache.read_policy())
    put_policy_outside(store, FIRST)
    run(cache.put("a", b"1"))
    assert store.document("a") == b"1"


def test_another_history_takes_the_policy_along(store: FakeStore, cache: AsyncDistributedCache) -> None:
    """Rule 8: the one that is known is of the history that was lost."""
    saved = store.snapshot()
    run(cache.put_policy(FIRST))
    run(cache.put("a", b"1"))
    assert until(lambda: cache.policy.text == FIRST)
    store.restore(saved)
    assert until(lambda: cache.policy == Policy.none())
    run(cache.put("a", b"1"))


def test_an_error_of_the_store_is_the_writes_own(store: FakeStore, cache: AsyncDistributedCache) -> None:
    store.no_space = True
    with pytest.raises(NoSpace):
        run(cache.put_policy(FIRST))
    store.no_space = False
    assert isinstance(PolicyChanged("x"), Unavailable), "whoever knows nothing of policies: nothing was done"
