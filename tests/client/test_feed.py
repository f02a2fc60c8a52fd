"""The feed, step by step: what it refuses, what it keeps, and what becomes of a token. No socket, no clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from config_client import Fresh, Lost, Stale, View
from config_client.changes import Backlog
from config_client.core.backoff import Addresses, BackoffOptions
from config_client.core.feed import Connect, Feed, FeedOptions, OutOfOrder, Pause, Phase
from config_client.core.last_good import read, written
from config_client.core.model import Document
from config_client.core.replica import Update
from config_client.errors import BadFallback
from config_client.memory import Memory
from tests.client.scripted_history import event
from tests.client.test_shells import put, sync

SNAPSHOT = event("reset", {"revision": 5}) + put("a", "1", 4) + put("b", "2", 5) + sync(5)


def made(*urls: str, view: View | None = None) -> Feed:
    return Feed(urls or ["http://a"], FeedOptions(), lambda: 0.5, view=view)


def opened(feed: Feed, now: float = 0.0) -> Connect:
    """Have it connect, and the address answer with a stream."""
    while isinstance(step := feed.next(now), Pause):
        now += step.seconds
    feed.opened()
    return step


def receive(feed: Feed, chunk: bytes, now: float = 0.0) -> Update | None:
    """Have it receive and apply."""
    update = feed.received(chunk, now)
    if update is not None:
        feed.applied(update)
    return update


ILLEGAL: dict[Phase, list[Callable[[Feed], object]]] = {
    Phase.WAITING: [
        Feed.opened,
        lambda f: f.ended("", 0),
        lambda f: f.received(b"", 0),
        lambda f: f.refused(503, {}, b"", 0),
    ],
    Phase.CONNECTING: [lambda f: f.next(0), lambda f: f.received(b"", 0)],
    Phase.STREAMING: [lambda f: f.next(0), Feed.opened, lambda f: f.refused(503, {}, b"", 0)],
    Phase.OVER: [lambda f: f.next(0), Feed.opened, lambda f: f.received(b"", 0)],
}


@pytest.mark.parametrize("phase", Phase)
def test_what_can_not_be_told_now_is_refused_and_changes_nothing(phase: Phase) -> None:
    feed = made()
    if phase is not Phase.WAITING:
        feed.next(0)
    if phase in (Phase.STREAMING, Phase.OVER):
        feed.opened()
    if phase is Phase.OVER:
        feed.received(event("goodbye"), 0)
    for call in ILLEGAL[phase]:
        with pytest.raises(OutOfOrder):
            call(feed)
        assert feed.phase is phase


def test_a_token_counts_only_when_its_update_has_been_applied() -> None:
    feed = made()
    assert opened(feed) == Connect("http://a", "")
    update = feed.received(SNAPSHOT, 10.0)
    assert update is not None
    assert feed.view.token == ""
    assert isinstance(feed.state(10.0), Stale), "what has not been applied is not held"
    for call in (lambda: feed.received(b"", 0), lambda: feed.ended("", 0), lambda: feed.next(0)):
        with pytest.raises(OutOfOrder, match="an update is to be applied first"):
            call()
    with pytest.raises(OutOfOrder):
        feed.applied(Update(update.before, update.after, update.names))
    feed.applied(update)
    assert feed.view.token == "5-a"
    assert feed.state(10.0) == Fresh(10.0 - (10.0 - 0.1))


def test_what_fails_here_is_told_anew_from_what_was_applied() -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT)
    assert feed.received(put("a", "3", 6) + sync(6), 0.0)
    feed.abandon("the disk is gone, and the program with it", 0.0)
    assert opened(feed).after == "5-a"
    update = receive(feed, put("a", "3", 6) + sync(6))
    assert update is not None
    assert update.names == ("a",)


def test_a_reset_that_was_cut_off_is_forgotten() -> None:
    """1. We hold the state at 5. 2. A reset begins, and is cut off. 3. Another tells what has changed since 5."""
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT)
    assert receive(feed, event("reset", {"revision": 6}) + put("a", "9", 6)) is None
    feed.ended("cut off", 0.0)
    assert opened(feed).after == "5-a"
    receive(feed, put("a", "3", 7) + sync(7))
    assert {key: each.value for key, each in feed.view.documents.items()} == {"a": b"3", "b": b"2"}


def test_half_a_transaction_is_forgotten_with_its_connection() -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT)
    receive(feed, event("delete", {"key": "b", "mod_revision": 6}))
    feed.ended("cut off", 0.0)
    opened(feed)
    receive(feed, put("a", "3", 7) + sync(7))
    assert feed.view.documents.keys() == {"a", "b"}


def test_half_a_transaction_is_forgotten_at_a_goodbye_too() -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT)
    receive(feed, event("delete", {"key": "b", "mod_revision": 6}) + event("goodbye", retry=1))
    feed.ended("closed", 0.0)
    opened(feed)
    receive(feed, put("a", "3", 7) + sync(7))
    assert feed.view.documents.keys() == {"a", "b"}


def test_after_a_goodbye_another_address_is_asked_without_a_pause() -> None:
    feed = made("http://a", "http://b")
    first = opened(feed)
    receive(feed, SNAPSHOT + event("goodbye", {"reason": "draining"}, retry=5000))
    feed.ended("closed", 0.0)
    other = feed.next(0.0)
    assert isinstance(other, Connect)
    assert (other.url != first.url, other.after) == (True, "5-a")
    feed.ended("no route", 0.0)
    waited = 0.0
    while isinstance(step := feed.next(waited), Pause):
        waited += step.seconds
    assert step.url == other.url, "the first does not want to be asked for five seconds"


def test_a_snapshot_in_pages_goes_on_elsewhere() -> None:
    """Its token is one from within the snapshot; nothing is seen before the last page."""
    feed = made()
    opened(feed)
    page = event("sync", {"to": "5-a-x", "revision": 5, "age": 0.1, "more": True}, token="5-a-x")
    assert receive(feed, event("reset", {"revision": 5}) + put("a", "1", 4) + page) is None
    feed.ended("cut off", 0.0)
    assert opened(feed).after == "5-a-x"
    update = receive(feed, put("b", "2", 5) + sync(5))
    assert update is not None
    assert update.after.documents.keys() == {"a", "b"}


def test_more_to_come_is_not_fresh() -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT, 0.0)
    receive(feed, put("a", "3", 6) + event("sync", {"to": "6-a", "revision": 6, "age": 0.1, "more": True}), 100.0)
    assert feed.view.revision == 6
    assert isinstance(feed.state(100.0), Stale)


def test_fresh_ends_by_the_clock_alone() -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT, 100.0)
    assert isinstance(feed.state(111.8), Fresh)
    assert isinstance(feed.state(112.0), Stale)
    feed.ended("cut off", 112.0)
    lost = feed.state(112.0)
    assert isinstance(lost, Lost)
    assert lost.why == "http://a: cut off"
    assert lost.age == pytest.approx(12.1)


@pytest.mark.parametrize(
    "nonsense",
    [
        event("put", {"key": "a"}),
        event("put", {"key": "a", "mod_revision": "6", "value": "1"}),
        event("put", {"key": 1, "mod_revision": 6, "value": "1"}),
        b"event: put\ndata: {\n\n",
        b"event: put\ndata: []\n\n",
        event("sync", {"to": "", "revision": 6}),
        event("sync", {"to": "6-a", "revision": True}),
        event("sync", {"to": "6-a", "revision": 6, "age": -1}),
        event("sync", {"to": "4-a", "revision": 4, "age": 0.1}),
    ],
)
def test_nonsense_ends_the_connection_and_changes_nothing(nonsense: bytes) -> None:
    feed = made()
    opened(feed)
    receive(feed, SNAPSHOT)
    assert receive(feed, nonsense) is None
    assert feed.is_over
    feed.ended("closed", 0.0)
    assert feed.view.token == "5-a"
    assert opened(feed).after == "5-a"


def test_what_it_does_not_know_it_passes_over() -> None:
    feed = made()
    opened(feed)
    assert receive(feed, event("news", {"a": 1}) + SNAPSHOT + b": a comment\n\n") is not None


def test_documents_come_byte_for_byte() -> None:
    feed = made()
    opened(feed)
    odd = '{"a": 1.10, "a": [1,\\u0020 2], "é": "\\ud83d"}'
    update = receive(
        feed,
        event("reset") + put("a", odd, 1) + event("put", {"key": "b", "mod_revision": 1, "base64": "//4="}) + sync(2),
    )
    assert update is not None
    assert [each.value for each in update.after.documents.values()] == [odd.encode(), b"\xff\xfe"]


# Where to connect, and when


def test_each_address_is_tried_before_one_is_tried_again_and_rounds_take_longer() -> None:
    feed = made("http://a", "http://b")
    asked: list[tuple[str, float]] = []
    now = 0.0
    while len(asked) < 8:
        step = feed.next(now)
        if isinstance(step, Pause):
            now += step.seconds
        else:
            asked.append((step.url, round(now, 3)))
            feed.ended("no route", now)
    urls = [url for url, _ in asked]
    assert urls == ["http://b", "http://a"] * 4
    pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(asked)]
    assert pauses == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.4, 0.4, 0.8])


def test_full_jitter_is_between_nothing_and_the_bound() -> None:
    options = BackoffOptions(first=1.0, most=4.0)
    for chance, longest in ((0.0, 0.0), (0.999, 4.0)):
        addresses = Addresses(["http://a"], options, lambda chance=chance: chance)  # type: ignore[misc]
        found = []
        for _ in range(6):
            addresses.failed(0.0)
            found.append(pause if not isinstance(pause := addresses.next(0.0), str) else 0.0)
        assert max(found) == pytest.approx(longest, abs=0.01)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "20"}, 20, 25),
        ({"retry-after": "86400"}, 300, 375),
        ({"retry-after": "Sat, 28 Nov 2026 12:00:30 GMT", "date": "Sat, 28 Nov 2026 12:00:00 GMT"}, 30, 37.5),
        ({"retry-after": "soon"}, 0, 0.2),
        ({}, 0, 0.2),
    ],
)
def test_retry_after_is_honoured_and_spread(headers: dict[str, str], least: float, most: float) -> None:
    feed = made()
    feed.next(0.0)
    feed.refused(503, headers, b"", 0.0)
    step = feed.next(0.0)
    assert isinstance(step, Pause)
    waited = 0.0
    while isinstance(step, Pause):
        waited += step.seconds
        step = feed.next(waited)
    assert least <= waited <= most


def test_a_token_that_is_refused_is_given_up_once() -> None:
    """400: after an upgrade it may be none that can be read; a parameter that is wrong stays wrong."""
    feed = made(view=View({"a": Document("a", b"1", 1)}, "odd", 1))
    assert feed.next(0.0) == Connect("http://a", "odd")
    feed.refused(400, {}, b"", 0.0)
    assert feed.next(0.0) == Connect("http://a", "")
    assert not feed.is_refused
    feed.refused(400, {}, b"", 0.0)
    assert feed.is_refused


# The last known good


def test_a_file_comes_back_as_it_was_written() -> None:
    view = View({"é": Document("é", b"\xff\x00 1", 7)}, "9-a", 9)
    found = read(written(view, "p/", 1000.0), "p/", 1060.0, 60.0)
    assert (dict(found.view.documents), found.view.token, found.view.revision) == (dict(view.documents), "9-a", 9)
    assert found.proven_at == 1000.0


def test_each_byte_of_a_file_counts() -> None:
    content = written(View({"a": Document("a", b"1", 7)}, "9-a", 9), "p/", 1000.0)
    for at in range(len(content)):
        with pytest.raises(BadFallback):
            read(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "p/", 1000.0, 60.0)
        with pytest.raises(BadFallback):
            read(content[:at], "p/", 1000.0, 60.0)


@pytest.mark.parametrize(
    ("now", "said"), [(1061.0, "it was the newest 61 s ago"), (600.0, "it is 400 s from the future")]
)
def test_a_file_has_an_age(now: float, said: str) -> None:
    with pytest.raises(BadFallback, match=said):
        read(written(View({}, "9-a", 9), "p/", 1000.0), "p/", now, 60.0)


# What is told when a process is forked in the middle of it


def test_an_update_that_a_fork_has_cut_in_two_is_told_in_the_child() -> None:
    """1. The view has changed; 2. the process is forked before listeners hear of it. The test stops there instead."""
    before, after = View({}, "1-a", 1), View({"a": Document("a", b"1", 2)}, "2-a", 2)
    memory, backlog = Memory("", before), Backlog("", "")
    stop = [True]

    def hear(update: Update) -> None:
        if stop:
            raise InterruptedError
        backlog.add(update)

    memory.hear(hear)
    with pytest.raises(InterruptedError):
        memory.publish(Update(before, after, ("a",)))
    stop.clear()
    memory.after_fork()
    assert [change.name for change in backlog.take()] == ["a"]
    memory.after_fork()
    assert backlog.take() == [], "once is enough"
