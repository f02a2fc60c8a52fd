"""A fleet behind HAProxy is renewed while clients follow changes: nothing is lost, or told twice.

What makes that so: an instance that drains says `goodbye` to each at a moment of its own, and when to come back; its
client goes on from its last `sync`, wherever the balancer sends it.
"""

from __future__ import annotations

import itertools
import json
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from consistency.etcd.store import EtcdStore
from tests.guarantees.renewed import balanced, running
from tests.load.requirements import need_haproxy
from tests.support.driver import run
from tests.support.etcd import EtcdServer, wait_for
from tests.support.followers import Crowd, crowd
from tests.support.instances import InstanceProcess
from tests.support.meanwhile import meanwhile
from torture.client import Connections

SIZE = 4
STREAMS = 1000
SCOPES = 20
KEYS = 5
"""In each scope."""

EVERY = 0.05
"""Seconds between two writes."""

DRAIN_WAIT = 1.5
"""Seconds: above the 0.7 in which the balancer notices."""

PREFIX = "/followed"
SETTINGS = {"DRAIN_WAIT": str(DRAIN_WAIT), "CACHE_AUDIT_INTERVAL": "1"}
"""The audits of seconds in a minute."""

POLL = 33
"""Seconds of a long poll: more than the balancer gives a client that has something to send."""

WITHIN = 30.0


@dataclass
class Writer:
    """Writes the documents of all scopes in turn, and notes what was there from which revision on."""

    port: int
    written: dict[str, list[tuple[int, str, str]]] = field(default_factory=lambda: defaultdict(list))
    """By scope: revision, key, document."""
    count: int = 0

    def __post_init__(self) -> None:
        self._connections = Connections([self.port])
        self._numbers = itertools.count()

    def __call__(self) -> None:
        number = next(self._numbers)
        scope, key = f"s{number % SCOPES}/", number // SCOPES % KEYS
        self.put(scope, f"{scope}{key}", str(number))

    def close(self) -> None:
        self._connections.close()

    def put(self, scope: str, key: str, document: str) -> None:
        headers = {"Content-Length": str(len(document)), "Content-Type": "application/json"}
        answer = self._connections.send(0, "PUT", f"/config/{key}", document.encode(), headers)
        assert answer.status in (200, 201), answer
        self.written[scope].append((int(answer.headers["x-config-revision"]), key, document))
        self.count += 1

    def held_at(self, scope: str, revision: int) -> Mapping[str, str]:
        """What etcd had then."""
        until = bisect_right(self.written[scope], revision, key=lambda each: each[0])
        return {key: document for _, key, document in self.written[scope][:until]}

    def last(self, scope: str) -> int:
        return self.written[scope][-1][0]


@pytest.mark.alone
@pytest.mark.timeout(240)  # seconds; forty, more on a busy machine
@pytest.mark.fault("rolling restart under load")
def test_nothing_is_lost_or_told_twice(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """Fault matrix. What each client held at every `sync` is what etcd had at that revision, and at the end, too."""
    need_haproxy()
    with (
        new_etcd(tmp_path / "etcd") as etcd,
        running(tmp_path, SIZE, **etcd.settings(PREFIX), **SETTINGS) as fleet,
        balanced(tmp_path, fleet) as balancer,
        crowd() as followers,
        closing(Writer(balancer.port)) as writer,
    ):
        for _ in range(SCOPES):
            writer()
        scopes = [f"s{number % SCOPES}/" for number in range(STREAMS)]
        followers.join(balancer.port, [f"prefix={scope}" for scope in scopes])
        wait_for(lambda: all(each.synced for each in followers.all), WITHIN, "all follow")
        with meanwhile([writer], pause=EVERY):
            for instance in fleet:
                renew(instance, followers)
        wait_for(lambda: all_know(followers, scopes, writer), WITHIN, "all know the last write")
        meant_anything = versions_without_names(etcd)
    assert [wrong for each in followers.all for wrong in each.wrong] == []
    resets = [reset for each in followers.all for reset in each.resets]
    assert Counter(cause for cause, since, _ in resets if not since) == {"asked": STREAMS}
    for cause, since, to in resets:
        if since:
            assert cause == "everything"
            assert any(since < revision <= to for revision in meant_anything), "there is no other reason"
    begun = min(each.synced[0][0] for each in followers.all)
    assert [each for each in meant_anything if each > begun] == [], "who left in order handed a look over (rule 13)"
    for scope, follower in zip(scopes, followers.all, strict=True):
        for revision, held in follower.synced:
            assert dict(held) == writer.held_at(scope, revision), (scope, revision)
    assert writer.count > 200
    said_goodbye = [said for each in followers.all for said in each.goodbyes]
    assert len(said_goodbye) >= STREAMS, "each instance let its own go, and each stream was one's"
    assert {reason for reason, _ in said_goodbye} == {"draining"}
    by_half_second = Counter(retry // 500 for _, retry in said_goodbye)
    assert max(by_half_second.values()) < 0.35 * len(said_goodbye), "they don't come back together"


def renew(instance: InstanceProcess, followers: Crowd) -> None:
    """SIGTERM, then a new process. Returns when all follow again."""
    instance.ask_to_stop()
    assert instance.wait() == 0, instance.printed()
    instance.start().wait_until_ready().wait_for_slot()
    wait_for(lambda: all(each.follows for each in followers.all), WITHIN, "all follow again")


def versions_without_names(etcd: EtcdServer) -> list[int]:
    """The revisions of those that say that anything may have changed."""

    async def read() -> list[int]:
        store = EtcdStore(etcd.config(PREFIX))
        try:
            until = (await store.survey(None, timeout=WITHIN)).version.revision
            past = await store.versions(1, until, most=100_000, timeout=WITHIN)
            return [event.state.revision for event in past.events if event.names is None]
        finally:
            await store.close()

    return run(read())


def all_know(followers: Crowd, scopes: list[str], writer: Writer) -> bool:
    return all(each.synced[-1][0] >= writer.last(scope) for each, scope in zip(followers.all, scopes, strict=True))


@pytest.mark.lasting
def test_a_long_poll_outlasts_the_balancers_patience_with_clients(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    need_haproxy()
    with (
        new_etcd(tmp_path / "etcd") as etcd,
        running(tmp_path, 1, **etcd.settings("/polled")) as fleet,
        balanced(tmp_path, fleet) as balancer,
        closing(HTTPConnection("127.0.0.1", balancer.port, timeout=2 * POLL)) as asking,
    ):
        fleet[0].put("k", b"1")
        since = told(asking, "/changes")["to"]
        begun = time.monotonic()
        assert told(asking, f"/changes?after={since}&wait={POLL}")["changes"] == []
        assert time.monotonic() - begun >= POLL


def told(asking: HTTPConnection, path: str) -> dict[str, Any]:
    """By a long poll."""
    asking.request("GET", path)
    answer = asking.getresponse()
    document: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, document
    return document
