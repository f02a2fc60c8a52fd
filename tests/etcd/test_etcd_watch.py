"""A watch's stream in the orders that a real etcd may choose, but not on demand: paper answers, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest

from consistency.core.model import VersionEvent, VersionRecord
from consistency.core.store import BadCredentials, Compacted, Denied, Unavailable
from consistency.etcd.errors import Failed
from consistency.etcd.transactions import Layout
from consistency.etcd.watch import EtcdWatch
from tests.support.driver import each, run

LAYOUT = Layout("p")
TIMEOUT = 5.0


class PaperStream:
    """What gRPC's call is to the watch."""

    def __init__(self, *answers: Any) -> None:
        self._answers: Iterator[Any] = iter(answers)
        self.canceled = False

    async def write(self, _: Any) -> None:
        """Takes any request."""

    async def read(self) -> Any:
        return next(self._answers, grpc.aio.EOF)

    def cancel(self) -> None:
        self.canceled = True


def answer(*revisions: int, **fields: Any) -> Any:
    """One WatchResponse, with an event of the version key for each revision."""
    plain: dict[str, Any] = {"created": False, "canceled": False, "compact_revision": 0, "cancel_reason": ""}
    events = [SimpleNamespace(type=0, kv=version_kv(revision)) for revision in revisions]
    return SimpleNamespace(**{**plain, **fields, "events": events})


def version_kv(revision: int) -> Any:
    value = VersionRecord("n", frozenset(), "put").encode()
    return SimpleNamespace(key=LAYOUT.version, mod_revision=revision, create_revision=1, version=revision, value=value)


def open_watch(*answers: Any) -> tuple[EtcdWatch, PaperStream]:
    stream = PaperStream(*answers)
    return EtcdWatch(stream, LAYOUT, "http://etcd:2379"), stream


def revisions(watch: EtcdWatch, count: int) -> list[int]:
    events = islice(each(watch), count)
    return [event.state.revision for event in events if isinstance(event, VersionEvent)]


CREATED = answer(created=True)


def test_events_between_the_two_confirmations_are_delivered_first() -> None:
    """The version's backlog may come before the members' watch is confirmed; no event may be lost (rule 2)."""
    watch, _ = open_watch(CREATED, answer(1, 2), CREATED, answer(3))
    run(watch.begin((None, None), TIMEOUT))
    assert revisions(watch, 3) == [1, 2, 3]


def test_empty_answers_and_several_events_in_one_change_nothing() -> None:
    """Hazard: bookmarks; a batch is delivered event by event, in its order."""
    watch, _ = open_watch(CREATED, CREATED, answer(), answer(1, 2, 3), answer(), answer(4))
    run(watch.begin((None, None), TIMEOUT))
    assert revisions(watch, 4) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"canceled": True, "compact_revision": 7}, Compacted),
        ({"canceled": True, "created": True}, Denied),
        ({"canceled": True, "created": True, "cancel_reason": "etcdserver: permission denied"}, Denied),
        ({"canceled": True, "created": True, "cancel_reason": "etcdserver: invalid auth token"}, BadCredentials),
        ({"canceled": True, "cancel_reason": "etcdserver: mvcc: required revision has been compacted"}, Compacted),
        ({"canceled": True, "cancel_reason": "etcdserver: no leader"}, Unavailable),
        ({"canceled": True}, Unavailable),
    ],
)
def test_a_canceled_watch_is_an_end_told_apart(fields: dict[str, Any], error: type[Exception]) -> None:
    """Hazard: compacted, denied, leaderless, other; while it is opened, and later."""
    watch, stream = open_watch(CREATED, answer(**fields))
    with pytest.raises(Failed) as caught:
        run(watch.begin((None, None), TIMEOUT))
    assert caught.value.diagnosis.error is error
    assert stream.canceled, "a stream that was not confirmed is not left open"
    watch, _ = open_watch(CREATED, CREATED, answer(**fields))
    run(watch.begin((None, None), TIMEOUT))
    with pytest.raises(error):
        list(each(watch))


def test_a_stream_that_etcd_ends_is_unavailable() -> None:
    """An end is an end, however polite."""
    watch, _ = open_watch(CREATED, CREATED)
    run(watch.begin((None, None), TIMEOUT))
    with pytest.raises(Unavailable, match="the watch at http://etcd:2379 ended: etcd ended it"):
        list(each(watch))


@pytest.mark.parametrize("unread", [(), (3,)])
def test_nothing_comes_of_a_stream_that_was_closed(unread: tuple[int, ...]) -> None:
    """1. Events come with the confirmations. 2. The stream is closed. 3. What has come before is not told any more."""
    watch, _ = open_watch(CREATED, answer(1, 2), CREATED, *map(answer, unread))
    run(watch.begin((None, None), TIMEOUT))
    watch.close()
    with pytest.raises(Unavailable, match="the watch at http://etcd:2379 ended: closed"):
        next(each(watch))
