"""The store over etcd when etcd fails: dead, paused, refusing, cut off. Each test harms servers of its own."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consistency.core.events import Event, StoreCalled
from consistency.core.model import AckEvent, MemberEvent, VersionEvent
from consistency.core.store import OutcomeUnknown, Put, Unavailable, Want, WatchEvent
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.etcd.conftest import version
from tests.support.driver import Meanwhile, each, run
from tests.support.etcd import EtcdCluster, EtcdServer, free_ports, wait_for
from tests.support.wire import Wire

TIMEOUT = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd to be harmed."""
    with EtcdServer(tmp_path, durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three etcd servers; a test that kills one starts it again."""
    with EtcdCluster(tmp_path_factory.mktemp("cluster"), durable=True) as cluster:
        yield cluster


def store_at(*endpoints: str) -> EtcdStore:
    return EtcdStore(EtcdConfig(endpoints, "faults"))


def first_events(store: EtcdStore, count: int) -> list[WatchEvent]:
    """All there is from the beginning on. Raises TimeoutError when so many don't come."""
    stream = run(store.watch(1, 1, timeout=TIMEOUT))
    return list(itertools.islice(each(stream, TIMEOUT), count))


def put(store: EtcdStore, key: str, timeout: float = TIMEOUT) -> int:
    return run(store.commit([Put(key, b"1")], version(key), timeout=timeout)).header.revision


def has(store: EtcdStore, key: str, timeout: float = TIMEOUT) -> bool:
    return run(store.read([Want(key)], None, timeout=timeout)).found[0].present


# --- one of three dies


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_reads_and_writes_go_on_when_any_one_of_three_dies(cluster: EtcdCluster, victim: int) -> None:
    """Fault matrix: one of three nodes killed. At most the write under way is unknown, and none is here."""
    store = store_at(*cluster.endpoints)
    put(store, "before")
    cluster.servers[victim].kill()
    try:
        assert has(store, "before")
        put(store, f"after-{victim}")
        assert has(store, f"after-{victim}")
    finally:
        cluster.servers[victim].restart()
        run(store.close())


def test_reads_go_on_within_their_deadline_when_the_leader_dies(cluster: EtcdCluster) -> None:
    """Fault matrix: leader change. A read waits for the election, at whichever server answers."""
    store = store_at(*cluster.endpoints)
    put(store, "led")
    leader = cluster.leader()
    leader.kill()
    try:
        assert has(store, "led")
    finally:
        leader.restart()
        run(store.close())


def test_a_paused_server_does_not_eat_the_time_of_the_others(cluster: EtcdCluster) -> None:
    """Each endpoint gets its share of a read's time; the next read begins with one that answers."""
    follower = next(server for server in cluster.servers if server is not cluster.leader())
    others = [server.endpoint for server in cluster.servers if server is not follower]
    store = store_at(follower.endpoint, *others)
    put(store, "a")
    follower.pause()
    try:
        assert has(store, "a")
        started = time.monotonic()
        assert has(store, "a")
        assert time.monotonic() - started < TIMEOUT / 3
        put(store, "b")
    finally:
        follower.resume()
        run(store.close())


def test_a_member_without_the_majority_is_left_at_once(cluster: EtcdCluster) -> None:
    """Hazard: a cut-off member falls silent, unless it is asked to have a leader. No server of three can be reached."""
    alone, *others = cluster.servers
    store = store_at(alone.endpoint)
    put(store, "a")
    for server in others:
        server.kill()
    try:
        wait_for(lambda: refusal(store).find("no leader") > 0, what="the member says that it has no leader")
        with pytest.raises(Unavailable, match="no leader"):  # it did nothing, and says so: not OutcomeUnknown
            put(store, "b", timeout=1.0)
    finally:
        for server in others:
            server.launch(",".join(each.peer for each in cluster.servers))
        for server in others:
            server.wait_until_ready()
        run(store.close())


def refusal(store: EtcdStore) -> str:
    try:
        has(store, "a", timeout=0.5)
    except Unavailable as error:
        return str(error)
    return ""


def test_a_watch_moves_to_another_server(cluster: EtcdCluster) -> None:
    """A stream dies with its server; the next one is opened at one that answers."""
    store = store_at(*cluster.endpoints)
    start = put(store, "a")
    stream = run(store.watch(start, start, timeout=TIMEOUT))
    first = next(server for server in cluster.servers if server.endpoint == stream.endpoint)
    first.kill()
    try:
        with pytest.raises(Unavailable):
            list(each(stream))
        again = run(store.watch(start, start, timeout=TIMEOUT))
        assert again.endpoint != first.endpoint
        assert isinstance(next(each(again)), VersionEvent)
    finally:
        first.restart()
        run(store.close())


# --- the only one is paused, killed, or was never there


def test_a_read_from_a_paused_etcd_ends_at_its_deadline(server: EtcdServer) -> None:
    """Fault matrix: etcd paused. Unavailable, with the endpoint and what was found."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.pause()
    started = time.monotonic()
    with pytest.raises(Unavailable, match=rf"{server.endpoint}: no answer within \d\.\d s"):
        has(store, "a", timeout=0.5)
    assert time.monotonic() - started < 1.0
    server.resume()
    assert has(store, "a")
    run(store.close())


def test_a_write_to_an_etcd_paused_just_now_is_unknown_and_the_next_is_not_sent(server: EtcdServer) -> None:
    """Fault matrix: "? then 503". The first was sent and may happen; the second never was, and never does."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.pause()
    with pytest.raises(OutcomeUnknown, match="may or may not have happened"):
        put(store, "first", timeout=0.5)
    with pytest.raises(Unavailable):
        put(store, "second", timeout=0.5)
    server.resume()
    wait_for(lambda: refusal(store) == "", what="a read after the pause")
    put(store, "third")  # comes after everything that was sent before it
    assert not has(store, "second")
    run(store.close())


@pytest.mark.parametrize("endpoints", [1, 3])
def test_a_write_whose_answer_is_lost_is_unknown_and_happens_once(server: EtcdServer, endpoints: int) -> None:
    """Hazard: client libraries that retried timed-out writes executed transactions twice. One-way loss."""
    with Wire(server.client_port) as wire:
        store = store_at(*[wire.endpoint, server.endpoint, server.endpoint][:endpoints])
        put(store, "a")
        wire.lose_answers = True
        with pytest.raises(OutcomeUnknown, match=f"commit at {wire.endpoint}"):
            put(store, "b", timeout=0.5)
        direct = store_at(server.endpoint)
        assert has(direct, "b")
        assert run(direct.read([], None, timeout=TIMEOUT)).version.count == 2
        run(direct.close())
        run(store.close())


def test_a_write_that_never_arrived_is_unknown_and_not_sent_again(server: EtcdServer) -> None:
    """One-way loss the other way: the client can't tell the difference, so it must not claim to."""
    with Wire(server.client_port) as wire:
        store = store_at(wire.endpoint, server.endpoint)
        put(store, "a")
        wire.lose_requests = True
        with pytest.raises(OutcomeUnknown):
            put(store, "b", timeout=0.5)
        assert not has(store, "b")
        run(store.close())


def test_a_read_fails_over_from_a_wire_that_loses_everything(server: EtcdServer) -> None:
    """One-way loss: reads go on through the other endpoint."""
    with Wire(server.client_port) as wire:
        store = store_at(wire.endpoint, server.endpoint)
        put(store, "a")
        wire.lose_answers = True
        assert has(store, "a", timeout=1.0)
        run(store.close())


def test_a_cut_connection_costs_a_read_nothing(server: EtcdServer) -> None:
    """A connection that a balancer closed is made anew within the same read, with one endpoint too."""
    with Wire(server.client_port) as wire:
        store = store_at(wire.endpoint)
        put(store, "a")
        wire.cut()
        assert has(store, "a")
        run(store.close())


def test_a_killed_etcd_is_told_as_refusing_and_writes_as_not_done(server: EtcdServer) -> None:
    """Fault matrix: etcd killed. The message names the endpoint and what was found there."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.kill()
    with pytest.raises(Unavailable, match=rf"{server.endpoint}: connection refused"):
        has(store, "a")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="connection refused"):
        put(store, "b")
    assert time.monotonic() - started < 1.0, "nobody is there: waiting helps nobody"
    run(store.close())


@pytest.mark.lasting
def test_a_restarted_etcd_is_found_within_seconds(server: EtcdServer) -> None:
    """Hazard: after ten seconds gRPC waits five more, unless its backoff is bounded. Fault matrix: ≤ 3 s."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.kill()
    for _ in range(105):
        assert "refused" in refusal(store)
        time.sleep(0.1)
    server.restart()
    wait_for(lambda: refusal(store) == "", timeout=3.0, what="a read after the restart")
    put(store, "b")
    run(store.close())


def test_an_endpoint_that_accepts_and_says_nothing_is_told_from_one_that_refuses() -> None:
    """Point 2 of the messages: an endpoint that does not answer."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(1)
        store = store_at(f"http://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(Unavailable, match=r"no answer within \d\.\d s"):
            has(store, "a", timeout=0.3)
        with pytest.raises(Unavailable, match="no answer"):  # never connected, so never sent
            put(store, "a", timeout=0.6)
        run(store.close())


def test_every_endpoint_is_named_with_what_was_found_there() -> None:
    """An operator with three endpoints needs to know which of them is wrong, and how."""
    first, second = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    store = store_at(first, second, "http://no-such-host.invalid:2379")
    with pytest.raises(Unavailable) as caught:
        has(store, "a", timeout=1.0)
    assert f"{first}: connection refused" in str(caught.value)
    assert f"{second}: connection refused" in str(caught.value)
    assert "http://no-such-host.invalid:2379: host name not found" in str(caught.value)
    run(store.close())


def test_a_write_under_way_when_the_store_is_closed_is_unknown(server: EtcdServer) -> None:
    """Store.close: a call under way ends at once, and a write that was sent is not claimed to have failed."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.pause()
    writing = Meanwhile(store.commit([Put("b", b"1")], version("b"), timeout=TIMEOUT))
    run(asyncio.sleep(0.2))  # the write has to be on its way; nothing tells when it is
    run(store.close())
    with pytest.raises(OutcomeUnknown):
        writing.result()
    server.resume()


# --- streams


def test_a_watch_on_a_paused_etcd_is_not_confirmed(server: EtcdServer) -> None:
    """Every call has a deadline, the opening of a stream included."""
    store = store_at(server.endpoint)
    put(store, "a")
    server.pause()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        run(store.watch(1, 1, timeout=0.5))
    assert time.monotonic() - started < 1.5
    server.resume()
    run(store.close())


def test_a_watch_that_is_not_confirmed_in_time_is_given_up(server: EtcdServer) -> None:
    """The wire goes deaf just after the cheap read that comes before a watch."""
    with Wire(server.client_port) as wire:

        def deafen(event: Event) -> None:
            if isinstance(event, StoreCalled) and event.kind == "probe":
                wire.lose_answers = True

        store = EtcdStore(EtcdConfig((wire.endpoint,), "faults"), observer=deafen)
        started = time.monotonic()
        with pytest.raises(Unavailable, match=f"at {wire.endpoint}: the watch was not confirmed within"):
            run(store.watch(1, 1, timeout=0.5))
        assert time.monotonic() - started < 1.5
        run(store.close())


def test_a_watch_has_a_connection_of_its_own(server: EtcdServer) -> None:
    """Hazard: a watch that shares a connection with heavy reads starves (etcd #15402)."""
    with Wire(server.client_port) as wire:
        store = store_at(wire.endpoint)
        put(store, "a")
        assert wire.connections == 1
        run(store.watch(1, 1, timeout=TIMEOUT))
        run(store.keep_alive(run(store.grant(60, timeout=TIMEOUT)).id, timeout=TIMEOUT))
        has(store, "a")
        assert wire.connections == 2
        run(store.close())


@pytest.mark.lasting
def test_a_watch_of_a_paused_etcd_ends_within_ten_seconds(server: EtcdServer) -> None:
    """Hazard: keepalive finds a paused peer after 60 s only, unless the ping has a timeout."""
    store = store_at(server.endpoint)
    stream = run(store.watch(1, 1, timeout=TIMEOUT))
    time.sleep(0.5)  # gRPC's own pings after the first answers are done; only keepalive can tell now
    server.pause()
    started = time.monotonic()
    with pytest.raises(Unavailable):
        list(each(stream))
    assert time.monotonic() - started < 10.0
    server.resume()
    run(store.close())


def test_closing_a_stream_ends_its_iteration(server: EtcdServer) -> None:
    store = store_at(server.endpoint)
    stream = run(store.watch(1, 1, timeout=TIMEOUT))
    reading = Meanwhile(anext(stream))
    stream.close()
    with pytest.raises(Unavailable, match="closed"):
        reading.result()
    run(store.close())


def test_a_reader_of_a_closed_stream_that_is_to_end_ends(server: EtcdServer) -> None:
    """gRPC says both in one way: a stream that was closed must not swallow the end of the task that reads it."""
    store = store_at(server.endpoint)
    stream = run(store.watch(1, 1, timeout=TIMEOUT))
    reading = Meanwhile(anext(stream))
    stream.close()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        reading.result()
    run(store.close())


def test_nothing_is_connected_and_no_thread_started_before_the_first_call(server: EtcdServer) -> None:
    """Hazard: fork with open channels hangs."""
    before = threading.active_count()
    store = store_at(server.endpoint)
    assert threading.active_count() == before
    assert server.counter("grpc_server_started_total", grpc_type="unary") == 0
    run(store.close())


def test_what_else_lies_beneath_the_members_is_passed_over(server: EtcdServer) -> None:
    """Rule 12: an acknowledgement is no instance; without a lease, or a revision in it, it acknowledges nothing."""
    store = store_at(server.endpoint)
    for value in ("", "-5", "5.0", "soon", "\u0665", "9" * 5000):
        server.etcdctl("put", "faults/members/07/ack", "--", value)
    server.etcdctl("del", "faults/members/07/ack")
    for key in ("faults/members/99", "faults/members/99/ack", "faults/members/07/ack/ack", "faults/members/ack"):
        server.etcdctl("put", key, "5")
    server.etcdctl("put", "faults/members/07/ack", "5")
    lease = run(store.grant(60, timeout=TIMEOUT)).id
    run(store.claim(7, lease, "{}", timeout=TIMEOUT))
    run(store.acknowledge(7, lease, 6, timeout=TIMEOUT))
    member, ack = first_events(store, 2)
    assert isinstance(ack, AckEvent)
    assert isinstance(member, MemberEvent)
    assert (ack.slot, ack.applied, member.slot, ack.revision) == (7, 6, 7, member.revision + 1)
    assert [member.slot for member in run(store.survey(None, timeout=TIMEOUT)).members] == [7]
    run(store.close())


def test_an_acknowledgement_goes_with_the_lease_that_gave_it(server: EtcdServer) -> None:
    """Rule 12: the next owner of the slot begins without one, and the end of the old one is no news."""
    store = store_at(server.endpoint)
    former, holder = (run(store.grant(60, timeout=TIMEOUT)).id for _ in range(2))
    run(store.claim(7, former, "{}", timeout=TIMEOUT))
    run(store.acknowledge(7, former, 5, timeout=TIMEOUT))
    assert server.etcdctl("get", "faults/members/07/ack", "--print-value-only").strip() == "5"
    run(store.revoke(former, timeout=TIMEOUT))
    assert server.etcdctl("get", "faults/members/07/ack", "--print-value-only").strip() == ""
    run(store.claim(7, holder, "{}", timeout=TIMEOUT))
    assert list(map(type, first_events(store, 4))) == [MemberEvent, AckEvent, MemberEvent, MemberEvent]
    run(store.close())


# --- what is observed


def test_every_rpc_is_observed_with_its_outcome(server: EtcdServer) -> None:
    """Metrics: etcd RPCs by kind and outcome, each attempt counted."""
    seen: list[Event] = []
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    store = EtcdStore(EtcdConfig((dead, server.endpoint), "faults"), observer=seen.append)
    has(store, "a")
    put(store, "a")
    run(store.watch(1, 1, timeout=TIMEOUT)).close()
    calls = [(event.kind, event.outcome) for event in seen if isinstance(event, StoreCalled)]
    assert calls == [("read", "unavailable"), ("read", "ok"), ("commit", "ok"), ("probe", "ok"), ("watch", "ok")]
    assert all(event.seconds < TIMEOUT for event in seen if isinstance(event, StoreCalled))
    run(store.close())
