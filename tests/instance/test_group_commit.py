"""Group commit: puts share a transaction and nothing else (rule 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

import pytest

from consistency import DistributedCache, MustExist, OutcomeUnknown, Unavailable
from consistency.core.events import Event, WorkerFailed
from consistency.core.model import NOBODY, Applied, Author, Authors, Policy, VersionEvent, VersionRecord
from consistency.core.records import MOST_AUTHOR_BYTES, QUICK_TO_READ
from consistency.core.store import NoSpace, Put, StoreError
from consistency.instance.writes import MOST_GROUP_BYTES, MOST_PUTS, GroupCommit, Signed
from consistency.tasks import Errands
from tests.instance.fleet import Background, started
from tests.support.bell import Bell
from tests.support.driver import Meanwhile, run, until
from tests.support.fake_store import FakeStore
from tests.support.gates import At

LONG = 60.0


class Road:
    """In the store's place: each transaction waits for the test."""

    def __init__(self) -> None:
        self._news = Bell()
        self.sent: list[tuple[str, ...]] = []
        self._outcomes: dict[int, StoreError | None] = {}

    async def commit(self, puts: Sequence[Signed], _policy: Policy, _timeout: float) -> Applied:
        """The revision is the number of the transaction; every second key existed."""
        number = len(self.sent)
        self.sent.append(tuple(put.key for put, _ in puts))
        await self._news.until(lambda: number in self._outcomes)
        error = self._outcomes[number]
        if error:
            raise error
        return Applied(number, tuple(index % 2 == 1 for index in range(len(puts))))

    def arrive(self, number: int, error: StoreError | None = None) -> None:
        """Ends a transaction, now or as soon as it is sent."""
        self._outcomes[number] = error
        self._news.ring()

    def await_sent(self, count: int) -> None:
        assert until(lambda: len(self.sent) >= count)


@pytest.fixture
def road() -> Road:
    return Road()


@pytest.fixture
def failed() -> list[Event]:
    return []


@pytest.fixture
def group(road: Road, failed: list[Event]) -> GroupCommit:
    return GroupCommit(road.commit, monotonic, Errands(failed.append), patience=LONG)


def put(
    group: GroupCommit, key: str, value: bytes = b"1", within: float = LONG, author: Author = NOBODY
) -> Meanwhile[Applied]:
    """One writer."""
    return Meanwhile(group.put(Put(key, value), author, Policy.none(), monotonic() + within))


def waiting(group: GroupCommit) -> int:
    """How many puts have come together behind the lane."""
    return len(group._calls.queue[-1].puts) if group._calls.queue else 0


def await_waiting(group: GroupCommit, count: int) -> None:
    """Until so many wait."""
    assert until(lambda: waiting(group) == count)


@pytest.fixture
def crowd(group: GroupCommit, road: Road) -> Callable[..., list[Meanwhile[Applied]]]:
    """Writers who come one after the other while transaction 0 is on its way; they travel in transaction 1."""

    def come(*keys: str, **more: float) -> list[Meanwhile[Applied]]:
        first = put(group, "first")
        road.await_sent(1)
        writers = []
        for number, key in enumerate(keys, 1):
            writers.append(put(group, key, **more))  # type: ignore[arg-type]
            await_waiting(group, number)
        return [first, *writers]

    return come


Crowd = Callable[..., list[Meanwhile[Applied]]]


def test_a_lone_put_goes_at_once_and_alone(group: GroupCommit, road: Road) -> None:
    writer = put(group, "a")
    road.await_sent(1)
    road.arrive(0)
    assert writer.result() == Applied(0, (False,))
    assert road.sent == [("a",)]


def test_those_who_come_while_one_is_on_its_way_travel_together(group: GroupCommit, road: Road, crowd: Crowd) -> None:
    first, *others = crowd("a", "b", "c")
    road.arrive(0)
    road.arrive(1)
    assert first.result().revision == 0
    assert [writer.result() for writer in others] == [Applied(1, (False,)), Applied(1, (True,)), Applied(1, (False,))]
    assert road.sent == [("first",), ("a", "b", "c")]
    assert waiting(group) == 0


def test_two_values_for_one_key_go_one_after_the_other(group: GroupCommit, road: Road, crowd: Crowd) -> None:
    """In one transaction etcd would refuse them, and one of them could not have been the last."""
    writers = crowd("a")
    writers.append(put(group, "a", b"2"))
    for number in range(3):
        road.arrive(number)
    assert sorted(writer.result().revision for writer in writers) == [0, 1, 2]
    assert road.sent == [("first",), ("a",), ("a",)]


def test_a_group_is_bounded_by_its_puts(group: GroupCommit, road: Road, crowd: Crowd) -> None:
    writers = crowd(*(f"{number:02}" for number in range(MOST_PUTS)))
    writers.append(put(group, "one more"))
    await_waiting(group, 1)
    for number in range(3):
        road.arrive(number)
    assert {writer.result().revision for writer in writers} == {0, 1, 2}
    assert sorted(map(len, road.sent)) == [1, 1, MOST_PUTS]


def test_a_group_is_bounded_by_its_bytes_and_a_large_put_goes_alone(group: GroupCommit, road: Road) -> None:
    """An answer would otherwise depend on who else was writing: together they can be too large for etcd."""
    writers = [put(group, "first")]
    road.await_sent(1)
    half = MOST_GROUP_BYTES // 2
    for key, size in (("a", half), ("b", half), ("c", 4 * half), ("d", 10)):
        writers.append(put(group, key, b"x" * size))
        await_waiting(group, 1)
    for number in range(5):
        road.arrive(number)
    assert len({writer.result().revision for writer in writers}) == 5
    assert all(len(keys) == 1 for keys in road.sent)


@pytest.mark.parametrize("error", [OutcomeUnknown("lost"), NoSpace("full"), Unavailable("away")])
def test_what_ends_a_group_is_told_to_each_of_it_and_to_nobody_else(
    group: GroupCommit, road: Road, crowd: Crowd, error: StoreError
) -> None:
    first, *others = crowd("a", "b")
    road.arrive(0)
    road.arrive(1, error)
    road.arrive(2)
    assert first.result().revision == 0
    for writer in others:
        with pytest.raises(type(error), match=str(error)):
            writer.result()
    assert put(group, "c").result().revision == 2


def test_whose_time_is_up_before_the_group_goes_has_written_nothing(
    group: GroupCommit, road: Road, crowd: Crowd
) -> None:
    """Unavailable means: not done. So what it brought must not be sent any more."""
    first, hasty = crowd("a", within=0.2)
    patient = put(group, "b")
    with pytest.raises(Unavailable, match="nothing was sent"):
        hasty.result()
    road.arrive(0)
    road.arrive(1)
    assert first.result().revision == 0
    assert patient.result().revision == 1
    assert road.sent == [("first",), ("b",)]


def test_a_group_that_all_have_given_up_is_not_sent(group: GroupCommit, road: Road, crowd: Crowd) -> None:
    first, hasty = crowd("a", within=0.1)
    with pytest.raises(Unavailable):
        hasty.result()
    road.arrive(0)
    first.result()
    road.arrive(1)
    assert put(group, "b").result().revision == 1
    assert road.sent == [("first",), ("b",)]


def test_whose_time_is_up_after_the_group_went_does_not_know(group: GroupCommit, road: Road, crowd: Crowd) -> None:
    """1. the group is sent; 2. the answer doesn't come in time; 3. it comes."""
    _, hasty = crowd("a", within=0.3)
    patient = put(group, "b")
    road.arrive(0)
    road.await_sent(2)
    with pytest.raises(OutcomeUnknown):
        hasty.result()
    road.arrive(1)
    assert patient.result().revision == 1


def test_nobody_waits_long_for_a_transaction_that_hangs(road: Road) -> None:
    """Its endpoint may have died, and another one may be well."""
    group = GroupCommit(road.commit, monotonic, Errands(lambda _: None), patience=0.05)
    hung = put(group, "a")
    road.await_sent(1)
    road.arrive(1)
    assert put(group, "b").result().revision == 1
    assert hung.running
    road.arrive(0)
    hung.result()


def test_a_group_says_no_more_of_its_authors_than_a_record_may(road: Road, group: GroupCommit) -> None:
    """Rule 2: what would be too much goes with the next one."""
    wordy = [Author("token", f"request-{number}", "\N{PARTY POPPER}" * 500) for number in range(20)]
    put(group, "first")
    road.await_sent(1)
    for number, author in enumerate(wordy):
        put(group, f"{number:02}", author=author)
    assert until(lambda: len(group._calls.queue) > 1)
    first = [author for _, author in group._calls.queue[0].puts.values()]
    assert 1 < len(first) < 20
    by_key = {str(number): author for number, author in enumerate(first)}
    record = VersionRecord("0" * 32, frozenset(by_key), "put", False, Authors.of_each(by_key.items()))
    assert len(record.encode()) < MOST_AUTHOR_BYTES + 1000 < QUICK_TO_READ
    for number in range(20):
        road.arrive(number)


def test_a_writer_whose_client_goes_away_before_the_group_is_sent_writes_nothing_and_the_others_all(
    road: Road, crowd: Crowd
) -> None:
    """1. a begins a group, b and c come along; 2. the clients of a and b go away; 3. the group is sent."""
    first, beginner, other, stays = crowd("a", "b", "c")
    for each in (beginner, other):
        each.cancel()
    road.arrive(0)
    road.arrive(1)
    assert first.result().revision == 0
    assert stays.result().revision == 1
    assert road.sent == [("first",), ("c",)]


def test_a_group_that_was_sent_is_seen_through_whoever_goes_away(road: Road, failed: list[Event]) -> None:
    """1. the group is sent; 2. the client of the one who began it goes away; 3. the transaction is not cut short.

    Then those who came along hear of it, and the next group goes.
    """
    group = GroupCommit(road.commit, monotonic, Errands(failed.append), patience=LONG)
    first = put(group, "first")
    road.await_sent(1)
    beginner, stays = put(group, "a"), put(group, "b")
    road.arrive(0)
    road.await_sent(2)
    first.result()
    beginner.cancel()
    later = put(group, "c")
    assert stays.running
    road.arrive(1)
    road.arrive(2)
    assert stays.result() == Applied(1, (True,))
    assert later.result().revision == 2
    assert road.sent == [("first",), ("a", "b"), ("c",)]
    assert failed == []


def test_an_unexpected_error_leaves_nobody_waiting_and_is_told(road: Road, failed: list[Event]) -> None:
    """Such as a lack of memory: whether it was sent is not known then."""

    async def fail(puts: Sequence[Signed], policy: Policy, deadline: float) -> Applied:
        await road.commit(puts, policy, deadline)
        if len(puts) > 1:
            raise MemoryError
        return Applied(0, (False,))

    group = GroupCommit(fail, monotonic, Errands(failed.append), patience=LONG)
    first = put(group, "first")
    road.await_sent(1)
    writers = [put(group, "a"), put(group, "b")]
    await_waiting(group, 2)
    road.arrive(0)
    road.arrive(1)
    first.result()
    for writer in writers:
        with pytest.raises(OutcomeUnknown):
            writer.result()
    assert failed == [WorkerFailed("group-commit", "MemoryError: ")]


# In the cache


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def cache(store: FakeStore) -> Iterator[DistributedCache]:
    with started(store) as cache:
        yield cache


def test_one_version_names_all_keys_of_a_group_and_each_learns_whether_it_existed(
    store: FakeStore, cache: DistributedCache
) -> None:
    cache.put("b", b"0")
    stream = run(store.watch(store.revision + 1, store.revision + 1, timeout=1))
    group_of(cache)._calls.patience = LONG
    gate = store.hold("commit")
    first = Background(lambda: cache.put("first", b"1"))
    gate.wait_until_held()
    a = Background(lambda: cache.put("a", b"1"))
    await_waiting(group_of(cache), 1)
    b = Background(lambda: cache.put("b", b"1"))
    await_waiting(group_of(cache), 2)
    gate.release()
    first.result()
    assert (a.result().existed, b.result().existed) == (False, True)
    assert a.result().revision == b.result().revision
    named = [event.names for event in (run(anext(stream)), run(anext(stream))) if isinstance(event, VersionEvent)]
    assert named == [frozenset({"first"}), frozenset({"a", "b"})]


def test_what_can_fail_by_itself_or_waits_for_others_never_joins_a_group(
    store: FakeStore, cache: DistributedCache
) -> None:
    """One refused precondition would refuse the whole transaction."""
    cache.put("a", b"0")
    gate = store.hold("commit")
    first = Background(lambda: cache.put("first", b"1"))
    gate.wait_until_held()
    group_of(cache)._calls.patience = LONG
    assert cache.put("a", b"1", precondition=MustExist()).existed
    assert cache.delete("a").existed
    assert cache.put("a", b"1", sync=True).acks == (1, 1)
    assert first.running
    gate.release()
    first.result()


def test_a_key_of_unknown_outcome_is_not_served_even_while_its_group_is_on_its_way(
    store: FakeStore, cache: DistributedCache
) -> None:
    """1. b is in memory; 2. a put of it travels with another's; 3. its time is up; 4. the answer is still not there."""
    cache.put("b", b"0")
    assert within_reach(cache, "b")
    group_of(cache)._calls.patience = LONG
    first_gate, second_gate = store.hold("commit"), store.hold("commit", At.REQUEST)
    first = Background(lambda: cache.put("first", b"1"))
    first_gate.wait_until_held()
    leader = Background(lambda: cache.put("a", b"1"))
    await_waiting(group_of(cache), 1)
    follower = Background(lambda: cache.put("b", b"1"))
    await_waiting(group_of(cache), 2)
    first_gate.release()
    second_gate.wait_until_held()
    with pytest.raises(OutcomeUnknown):
        follower.result()
    entry = cache._cache._state._entries.get("b")
    assert entry is None or entry.stale
    second_gate.release()
    first.result()
    with pytest.raises(OutcomeUnknown):
        leader.result()


def group_of(cache: DistributedCache) -> GroupCommit:
    return cache._cache._writes._group


def within_reach(cache: DistributedCache, key: str) -> bool:
    """Whether a read has brought the key into memory."""
    cache.get(key)
    return cache._cache._state._entries.get(key) is not None
