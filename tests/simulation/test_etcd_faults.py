"""Each fault of the simulated cluster is what a client would meet, and nothing that raft rules out happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.events import StoreCalled, ignore
from consistency.core.model import SLOTS, MemberEvent, VersionEvent, VersionRecord, new_nonce
from consistency.core.store import (
    BadCredentials,
    Commit,
    Compacted,
    Denied,
    NoSpace,
    OutcomeUnknown,
    Put,
    Unavailable,
    Want,
    WatchEvent,
    WatchStream,
)
from consistency.etcd.store import EtcdStore
from consistency.etcd.transactions import Layout
from simulation.etcd import Cluster
from simulation.etcd.errors import Refused
from simulation.outsiders import Outsiders
from simulation.way import Way
from tests.support.virtual import virtually

PREFIX = "p"
KEY = b"p/config/a"


class Hand:
    """A cluster, and one client of it, called `i-1`."""

    def __init__(self, seed: int, members: int) -> None:
        self.cluster = Cluster(Random(seed), members)
        self.cluster.network.latency = (0.001, 0.002)
        self.store = self.client("i-1")

    def client(self, name: str, user: str | None = None, password: str | None = None) -> EtcdStore:
        """Another one."""
        clock = asyncio.get_running_loop().time
        config = self.cluster.config(PREFIX, user, password)
        return EtcdStore(config, connect=self.cluster.connect(name), clock=clock)

    async def put(self, value: bytes = b"1", timeout: float = 2.0) -> Commit:
        record = VersionRecord(new_nonce(), frozenset("a"), "put")
        return await self.store.commit([Put("a", value)], record, timeout=timeout)

    async def get(self, timeout: float = 2.0) -> bytes | None:
        found = (await self.store.read([Want("a")], None, timeout=timeout)).found[0]
        return found.document.data if found.document else None

    def there(self) -> bytes | None:
        """What is committed."""
        kv = self.cluster.machine.store.get(KEY)
        return kv.value if kv else None


Story = Callable[[Hand], Awaitable[None]]


def play(story: Story, seeds: int = 1, members: int = 3) -> None:
    """The story, in virtual time, once for each seed."""

    async def begin(seed: int) -> None:
        hand = Hand(seed, members)
        await story(hand)
        await hand.store.close()

    for seed in range(seeds):
        virtually(begin(seed), seed)


async def events_of(stream: WatchStream, seconds: float) -> list[WatchEvent]:
    """What a stream brings within so many seconds."""
    found: list[WatchEvent] = []
    try:
        async with asyncio.timeout(seconds):
            async for event in stream:
                found.append(event)
    except TimeoutError:
        pass
    return found


def _split(dice: Random) -> tuple[list[int], list[int]]:
    """One of three members, and the others."""
    members = [0, 1, 2]
    return [members.pop(dice.randrange(3))], members


# --- members


def test_one_member_that_is_killed_costs_a_call_at_most() -> None:
    """HAZARDS: one of three nodes killed: no gap."""

    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        hand.cluster.kill(0)
        assert await hand.get(timeout=4.0) == b"1"
        assert hand.cluster.leader in (1, 2)
        assert (await hand.put(b"2")).committed

    play(story, 5)


def test_without_a_quorum_nothing_is_read_or_written_and_then_it_is_again() -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        hand.cluster.kill(0)
        hand.cluster.kill(1)
        with pytest.raises(Unavailable):
            await hand.get()
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await hand.put(b"2")
        assert not hand.cluster.working
        hand.cluster.restart(1)
        await asyncio.sleep(2.5)
        assert await hand.get() in (b"1", b"2")

    play(story, 5)


def test_whoever_leads_is_elected_within_seconds() -> None:
    async def story(hand: Hand) -> None:
        term = hand.cluster.raft.term
        hand.cluster.pause(0)
        await asyncio.sleep(2.1)
        assert hand.cluster.leader in (1, 2)
        assert hand.cluster.raft.term == term + 1
        hand.cluster.resume(0)
        await asyncio.sleep(0.1)
        assert hand.cluster.leader in (1, 2)

    play(story, 5)


def test_a_member_that_is_cut_off_answers_no_read_and_ends_its_watches() -> None:
    """HAZARDS: without `hasleader` a cut-off member's watch would be silently stale."""

    async def story(hand: Hand) -> None:
        hand.cluster.network.isolate("i-1", "etcd-0")
        hand.cluster.network.isolate("i-1", "etcd-1")
        await hand.put(b"1", timeout=8.0)
        stream = await hand.store.watch(1000, 1000, timeout=8.0)
        hand.cluster.partition([2], [0, 1])
        hand.cluster.write_outside({KEY: b"2"})
        with pytest.raises(Unavailable):
            await hand.get()
        with pytest.raises(Unavailable, match="no leader"):
            await events_of(stream, 10.0)

    play(story, 5)


def test_a_read_after_a_write_sees_it_whatever_befalls_the_members() -> None:
    """Linearizable: of two clients, one that writes, one that reads once the other has been answered."""

    async def story(hand: Hand) -> None:
        other, dice, written = hand.client("i-2"), Random(7), 0
        cluster = hand.cluster
        for number in range(60):
            befallen = dice.choice(("pause", "kill", "partition", "move", "heal", "heal"))
            if befallen == "pause":
                cluster.pause(dice.randrange(3))
            elif befallen == "kill":
                cluster.kill(dice.randrange(3))
            elif befallen == "partition":
                cluster.partition(*_split(dice))
            elif befallen == "move":
                cluster.move_leader()
            else:
                cluster.heal()
            cluster.network.isolate("i-2", "etcd-0")  # so that mostly another member is asked than the writer's
            cluster.network.latency = (0.0001, dice.choice((0.001, 0.5)))
            with contextlib.suppress(Unavailable, OutcomeUnknown):
                written = (await hand.put(b"%d" % number)).header.revision
            try:
                answer = await other.read([Want("a")], None, timeout=2.0)
            except Unavailable:
                continue
            assert answer.version.revision >= written
        await other.close()

    play(story, 10)


def test_a_release_that_answers_old_reads_after_a_pause_does_so_when_switched_on() -> None:
    """HAZARDS: #20418. Without the flaw the same story reads what was written."""

    def told(flawed: bool) -> bytes | None:
        found: list[bytes | None] = []

        async def story(hand: Hand) -> None:
            hand.cluster.flaws.stale_reads_after_pause = 0.5 if flawed else 0.0
            await hand.put(b"old")
            await asyncio.sleep(0.1)
            hand.cluster.pause(0)
            reading = asyncio.create_task(hand.get(timeout=8.0))
            await asyncio.sleep(2.5)
            hand.cluster.write_outside({KEY: b"new"})
            hand.cluster.resume(0)
            found.append(await reading)

        play(story)
        return found[0]

    assert (told(flawed=True), told(flawed=False)) == (b"old", b"new")


# --- the way


@pytest.mark.parametrize(
    ("lost", "how", "there"),
    [("lost_before", 1.0, None), ("lost_after", 1.0, b"1"), ("broken_answers", {"i-1": 1.0}, b"1")],
)
def test_a_write_is_lost_before_or_after_it_is_done(lost: str, how: object, there: bytes | None) -> None:
    """Outcome unknown, both ways."""

    async def story(hand: Hand) -> None:
        await hand.get()
        setattr(hand.cluster.network, lost, how)
        with pytest.raises(OutcomeUnknown):
            await hand.put()
        await asyncio.sleep(1.0)
        assert hand.there() == there
        hand.cluster.network.lost_before = hand.cluster.network.lost_after = 0.0

    play(story, 6)


@pytest.mark.parametrize(("way", "there"), [(Way.TO_SERVER, None), (Way.TO_CLIENT, b"1")])
def test_a_way_is_cut_in_one_direction_only(way: Way, there: bytes | None) -> None:
    async def story(hand: Hand) -> None:
        await hand.get()
        hand.cluster.network.isolate("i-1", None, way)
        with pytest.raises(OutcomeUnknown):
            await hand.put()
        assert hand.there() == there

    play(story, 3)


def test_what_waits_at_a_cut_arrives_when_the_way_heals_before_it_is_given_up() -> None:
    """As TCP sends anew: a write that its client has given up may be done later."""

    async def arrives(after: float) -> list[bytes | None]:
        found = []
        for seed in range(12):
            hand = Hand(seed, 3)
            await hand.get()
            hand.cluster.network.isolate("i-1")
            with pytest.raises(OutcomeUnknown):
                await hand.put(timeout=1.0)
            await asyncio.sleep(after)
            hand.cluster.network.heal()
            await asyncio.sleep(1.0)
            found.append(hand.there())
            await hand.store.close()
        return found

    soon = virtually(arrives(0.5))
    late = virtually(arrives(9.0))
    assert set(soon) == {None, b"1"}  # its own cancellation may come with it
    assert set(late) == {None}  # the connection was given up after 8 s


def test_a_watch_that_is_stalled_is_silent_and_open_while_reads_go_on() -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        start = hand.cluster.machine.store.revision + 1
        stream = await hand.store.watch(start, start, timeout=2.0)
        hand.cluster.network.stall("i-1")
        await hand.put(b"2")
        assert await events_of(stream, 20.0) == []
        assert await hand.get() == b"2"
        hand.cluster.network.heal()
        assert len(await events_of(stream, 1.0)) == 1

    play(story, 3)


def test_a_watch_that_is_muted_brings_nothing_for_good_and_a_new_one_does() -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        start = hand.cluster.machine.store.revision + 1
        stream = await hand.store.watch(start, start, timeout=2.0)
        hand.cluster.network.mute("i-1")
        await hand.put(b"2")
        hand.cluster.network.heal()
        assert await events_of(stream, 20.0) == []
        again = await hand.store.watch(start, start, timeout=2.0)
        assert len(await events_of(again, 1.0)) == 1

    play(story, 3)


def test_events_that_are_lost_are_of_the_version_key_and_later_ones_come() -> None:
    """A watch on the members hears of all: rule 12 rests on that."""

    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        start = hand.cluster.machine.store.revision + 1
        stream = await hand.store.watch(start, start, timeout=2.0)
        hand.cluster.lost_events = 1.0
        await hand.put(b"2")
        lease = await hand.store.grant(10, timeout=2.0)
        assert await hand.store.claim(0, lease.id, "{}", timeout=2.0)
        assert [type(event) for event in await events_of(stream, 1.0)] == [MemberEvent]
        hand.cluster.lost_events = 0.0
        last = await hand.put(b"3")
        (event,) = await events_of(stream, 1.0)
        assert isinstance(event, VersionEvent)
        assert event.state.revision == last.header.revision

    play(story, 3)


def test_others_hold_all_slots_that_are_free_until_they_give_them_back() -> None:
    async def story(hand: Hand) -> None:
        mine = await hand.store.grant(10, timeout=2.0)
        assert await hand.store.claim(3, mine.id, "{}", timeout=2.0)
        outsiders = Outsiders(hand.cluster, Layout(PREFIX))
        outsiders.hold_slots(1)
        held = {each.slot: each.lease for each in (await hand.store.survey(None, timeout=2.0)).members}
        assert held.keys() == set(range(1, SLOTS))
        assert [slot for slot, lease in held.items() if lease == mine.id] == [3]
        for number in (0, 1, 2):
            hand.cluster.pause(number)
        outsiders.release_slots()  # nobody is there who would take it
        hand.cluster.heal()
        await asyncio.sleep(5.0)
        assert [each.slot for each in (await hand.store.survey(None, timeout=2.0)).members] == [3]

    play(story, 3)


def test_slots_that_a_backup_brings_back_are_given_back_with_the_others() -> None:
    """1. Held and saved; 2. given back; 3. held by another lease; 4. the backup brings the first one back."""

    async def story(hand: Hand) -> None:
        outsiders = Outsiders(hand.cluster, Layout(PREFIX))
        await hand.store.grant(10, timeout=2.0)
        outsiders.hold_slots(0)
        saved = hand.cluster.snapshot()
        outsiders.release_slots()
        outsiders.hold_slots(0)
        hand.cluster.restore(saved)
        hand.cluster.heal()
        await asyncio.sleep(3.0)
        outsiders.release_slots()
        await asyncio.sleep(3.0)
        assert not (await hand.store.survey(None, timeout=2.0)).members

    play(story, 3)


def test_a_half_open_connection_is_found_by_its_pings() -> None:
    async def story(hand: Hand) -> None:
        stream = await hand.store.watch(2, 2, timeout=2.0)
        hand.cluster.network.half_open("i-1")
        await hand.put(b"1")
        with pytest.raises(Unavailable):
            await events_of(stream, 8.5)

    play(story, 5)


def test_a_dead_member_refuses_and_a_paused_one_is_silent() -> None:
    async def story(hand: Hand) -> None:
        hand.cluster.kill(0)
        with pytest.raises(Unavailable, match="connection refused"):
            await hand.get()
        hand.cluster.restart(0)
        await asyncio.sleep(3.0)
        hand.cluster.pause(0)
        with pytest.raises(Unavailable, match=r"no answer|says nothing"):
            await hand.client("i-2").read([], None, timeout=3.0)

    play(story, members=1)


def test_within_a_connection_order_is_kept() -> None:
    """Whatever the delays: a watch's events come as they happened."""

    async def story(hand: Hand) -> None:
        hand.cluster.network.latency = (0.0001, 0.5)
        stream = await hand.store.watch(1, 1, timeout=5.0)
        for _ in range(40):
            hand.cluster.write_outside({b"p/version": VersionRecord(new_nonce(), None, "put").encode()})
            await asyncio.sleep(0.01)
        events = await events_of(stream, 5.0)
        assert [event.state.count for event in events if isinstance(event, VersionEvent)] == list(range(1, 41))

    play(story, 5)


# --- leases, the past, and what others do


def test_a_lease_that_nobody_renews_ends_in_its_time_and_late_when_told_so() -> None:
    async def story(hand: Hand) -> None:
        lease = await hand.store.grant(5, timeout=2.0)
        await hand.store.claim(3, lease.id, "{}", timeout=2.0)
        stream = await hand.store.watch(100, hand.cluster.machine.store.revision + 1, timeout=2.0)
        await asyncio.sleep(4.5)
        assert await hand.store.keep_alive(lease.id, timeout=2.0) == 5
        assert await events_of(stream, 4.9) == []
        assert [event.member for event in await events_of(stream, 0.8) if isinstance(event, MemberEvent)] == [None]
        assert await hand.store.keep_alive(lease.id, timeout=2.0) == 0

        hand.cluster.leases_late(10.0)
        lease = await hand.store.grant(5, timeout=2.0)
        await asyncio.sleep(14.0)
        assert lease.id in hand.cluster.machine.store.leases
        await asyncio.sleep(2.0)
        assert lease.id not in hand.cluster.machine.store.leases

    play(story, 5)


def test_leases_that_were_late_end_when_they_are_late_no_more() -> None:
    async def story(hand: Hand) -> None:
        hand.cluster.leases_late(20.0)
        lease = await hand.store.grant(3, timeout=2.0)
        await asyncio.sleep(5.0)
        assert lease.id in hand.cluster.machine.store.leases
        hand.cluster.leases_late(0.0)
        await asyncio.sleep(1.0)
        assert lease.id not in hand.cluster.machine.store.leases

    play(story, 3)


def test_after_an_election_leases_live_for_their_whole_ttl_again() -> None:
    """HAZARDS: ghosts of up to twice the TTL are normal."""

    async def story(hand: Hand) -> None:
        lease = await hand.store.grant(5, timeout=2.0)
        await asyncio.sleep(4.0)
        hand.cluster.move_leader()
        await asyncio.sleep(4.0)
        assert lease.id in hand.cluster.machine.store.leases
        await asyncio.sleep(2.0)
        assert lease.id not in hand.cluster.machine.store.leases

    play(story, 3)


def test_a_watch_of_a_past_that_is_gone_is_told_so() -> None:
    async def story(hand: Hand) -> None:
        for _ in range(5):
            await hand.put()
        assert hand.cluster.compact(5)
        assert not hand.cluster.compact(5)
        with pytest.raises(Compacted):
            await events_of(await hand.store.watch(3, 3, timeout=2.0), 1.0)

    play(story, 3)


def test_a_slow_watch_brings_all_at_once_and_loses_nothing() -> None:
    async def story(hand: Hand) -> None:
        hand.cluster.slow_watches = 0.5
        stream = await hand.store.watch(1, 1, timeout=2.0)
        for _ in range(30):
            await hand.put()
        events = await events_of(stream, 1.0)
        assert [event.state.count for event in events if isinstance(event, VersionEvent)] == list(range(1, 31))

    play(story, 5)


@pytest.mark.parametrize("overtake", [False, True])
def test_a_backup_that_is_restored_turns_back(overtake: bool) -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        saved = hand.cluster.snapshot()
        await hand.put(b"2")
        lost = hand.cluster.machine.store.revision
        stream = await hand.store.watch(1, 1, timeout=2.0)
        hand.cluster.restore(saved, overtake=overtake)
        with pytest.raises(Unavailable):
            await events_of(stream, 1.0)
        await asyncio.sleep(3.0)
        answer = await hand.store.read([Want("a")], None, timeout=2.0)
        assert answer.found[0].document is not None
        assert answer.found[0].document.data == b"1"
        assert (answer.header.revision > lost) == overtake
        assert {each.timeline for each in hand.cluster.history} == ({0, 1} if overtake else {0})

    play(story, 3)


def test_a_backup_may_be_restored_into_a_cluster_with_another_id() -> None:
    async def story(hand: Hand) -> None:
        before = await hand.put(b"1")
        hand.cluster.restore(hand.cluster.snapshot(), renamed=True)
        await asyncio.sleep(3.0)
        assert (await hand.store.read([], None, timeout=2.0)).header.cluster != before.header.cluster

    play(story)


def test_nothing_proposed_before_a_restore_is_done_after_it() -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        saved = hand.cluster.snapshot()
        writing = asyncio.create_task(hand.put(b"lost"))
        await asyncio.sleep(0.0015)
        hand.cluster.restore(saved)
        with pytest.raises((OutcomeUnknown, Unavailable)):
            await writing
        await asyncio.sleep(5.0)
        assert await hand.get() == b"1"

    play(story, 20)


def test_without_space_writes_and_grants_are_refused_and_reads_are_not() -> None:
    async def story(hand: Hand) -> None:
        await hand.put()
        for quota in (False, True):
            hand.cluster.flaws.over_quota_reads = not quota
            hand.cluster.nospace(True, quota=quota)
            with pytest.raises(NoSpace):
                await hand.put()
            with pytest.raises(NoSpace):
                await hand.store.grant(10, timeout=2.0)
            assert await hand.get() == b"1"
        hand.cluster.nospace(False)
        await hand.put()

    play(story)


def test_a_busy_etcd_refuses_writes_for_certain_and_no_reads() -> None:
    async def story(hand: Hand) -> None:
        await hand.put(b"1")
        hand.cluster.too_busy = 1.0
        with pytest.raises(Unavailable, match="too many requests"):
            await hand.put(b"2")
        assert await hand.get() == b"1"
        hand.cluster.too_busy = 0.5
        done = 0
        for number in range(20):
            before = hand.there()
            with contextlib.suppress(Unavailable):  # of four attempts none was taken
                done += (await hand.put(b"%d" % number)).committed
                before = b"%d" % number
            assert hand.there() == before
        assert done > 10

    play(story, 3)


def test_tokens_end_and_are_renewed_and_a_wrong_password_is_refused() -> None:
    async def story(hand: Hand) -> None:
        hand.cluster.enable_auth("tests", "secret", "p/")
        with pytest.raises(BadCredentials):
            await hand.get()
        calls: list[str] = []
        clock = asyncio.get_running_loop().time
        store = EtcdStore(
            hand.cluster.config(PREFIX, "tests", "secret"),
            connect=hand.cluster.connect("i-2"),
            clock=clock,
            observer=lambda event: calls.append(event.kind) if isinstance(event, StoreCalled) else ignore(event),
        )
        for _ in range(2):
            await store.read([], None, timeout=2.0)
            hand.cluster.expire_tokens()
        await store.read([], None, timeout=2.0)
        assert calls.count("authenticate") == 3
        with pytest.raises(BadCredentials):
            await hand.client("i-3", "tests", "wrong").read([], None, timeout=2.0)
        hand.cluster.enable_auth("tests", "secret", "q/")
        with pytest.raises(Denied):
            await store.read([], None, timeout=2.0)

    play(story)


def test_the_same_seed_tells_the_same_story() -> None:
    def history() -> list[tuple[int, float, bytes]]:
        found: list[tuple[int, float, bytes]] = []

        async def story(hand: Hand) -> None:
            for number in range(20):
                puts = (hand.put(b"%d %d" % (number, each)) for each in range(3))
                await asyncio.gather(*puts, return_exceptions=True)
                if number == 10:
                    hand.cluster.kill(0)
            found.extend((each.revision, each.at, each.changes[0].value) for each in hand.cluster.history)

        play(story)
        return found

    assert history() == history()


def test_a_member_that_lags_behind_a_compaction_still_shows_what_the_others_forgot() -> None:
    async def story(hand: Hand) -> None:
        cluster, lagging = hand.cluster, hand.cluster.raft.peers[2]
        at = (await hand.put(b"1")).header.revision
        cluster.write_outside({}, [KEY])
        await asyncio.sleep(0.1)
        cluster.partition([2], [0, 1])
        cluster.write_outside({b"beside": b""})
        cluster.compact(cluster.machine.store.revision)
        asked = pb.RangeRequest(key=KEY, revision=at)
        assert [kv.value for kv in cluster.machine.range(asked, cluster.moment_of(lagging)).kvs] == [b"1"]
        cluster.heal()
        await asyncio.sleep(0.1)
        with pytest.raises(Refused, match="compacted"):
            cluster.machine.range(asked, cluster.moment_of(lagging))

    play(story)
