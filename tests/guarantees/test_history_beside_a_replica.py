"""Rule 19 over a real etcd that is compacted again and again: what is told of any revision is what a replica, kept by
the changes (rule 18), held there.

    HISTORY_WRITES=100000 python -m pytest tests/guarantees/test_history_beside_a_replica.py
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path

import pytest

from consistency import AsyncDistributedCache, Author, CacheOptions, Compacted, Scope, Token
from consistency.core.store import Change, Delete, Put
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.support.driver import loop
from tests.support.etcd import EtcdServer

WRITES = int(os.environ.get("HISTORY_WRITES", "2000"))
log = logging.getLogger(__name__)

LOOKS = 300
"""At the past, after each compaction."""

MOST_STANDS = 200
"""From how many of the last places of the replica one is chosen: older ones have been trimmed."""

EVERYTHING = Scope(prefixes=frozenset({""}))
KEYS = [f"team/{number:02}" for number in range(50)]
AT_ONCE = 8
EACH = 1000
"""Writes between compactions."""

OPTIONS = CacheOptions(staleness_bound=1.0, timeout=10.0)


class Replica:
    """Follows one instance, and remembers what it held: for each key what became of it, and each `to` it stood at."""

    def __init__(self, cache: AsyncDistributedCache) -> None:
        self._cache = cache
        self._token: Token | None = None
        self._changes: dict[str, list[tuple[int, bytes | None]]] = {}
        self.stood_at: list[int] = []

    async def follow(self, until: int) -> None:
        """Up to a revision. After a compaction an audit has nothing to compare with, and tells everything anew."""
        whole: dict[str, bytes | None] | None = None
        while self._token is None or self._token.revision < until or whole is not None:
            told = await self._cache.changes(EVERYTHING, after=self._token, wait=1.0)
            self._token = told.to
            if told.reset or whole is not None:
                whole = (whole or {}) | {change.key: change.value for change in told.changes}
                if told.more:
                    continue
                for key in KEYS:
                    self._changes.setdefault(key, []).append((told.to.revision, whole.get(key)))
                whole = None
            else:
                for change in told.changes:
                    self._changes.setdefault(change.key, []).append((change.mod_revision, change.value))
            self.stood_at.append(told.to.revision)

    def held(self, key: str, revision: int) -> bytes | None:
        """What it held at a revision at which it stood."""
        changes = self._changes.get(key, [])
        number = bisect_right(changes, revision, key=lambda change: change[0])
        return changes[number - 1][1] if number else None


async def check(cache: AsyncDistributedCache, replica: Replica, chance: random.Random) -> tuple[int, int]:
    """Look at keys at revisions at which the replica stood; how many could be told, and how many could not."""
    known = unknown = 0
    for _ in range(LOOKS):
        key, revision = chance.choice(KEYS), chance.choice(replica.stood_at[-MOST_STANDS:])
        try:
            reading = await cache.get_at(key, revision)
        except Compacted:
            unknown += 1
            continue
        held = replica.held(key, revision)
        assert reading.value == held, f"{key} at {revision}: {reading.value!r}, and the replica held {held!r}"
        known += 1
    return known, unknown


async def write(cache: AsyncDistributedCache, chance: random.Random, number: int) -> int:
    """A put, a delete or a batch; its revision."""
    author = Author("team", f"{number}", "the check")
    match chance.random():
        case luck if luck < 0.1:
            return (await cache.delete(chance.choice(KEYS), author=author)).revision
        case luck if luck < 0.2:
            keys = chance.sample(KEYS, 3)
            changes: list[Change] = [Put(keys[0], b"%d" % number), Put(keys[1], b"%d" % number), Delete(keys[2])]
            return (await cache.apply(changes, author=author)).revision
        case _:
            return (await cache.put(chance.choice(KEYS), b"%d" % number, author=author)).revision


async def play(etcd: EtcdServer) -> tuple[int, int]:
    chance = random.Random(19)
    store = EtcdStore(EtcdConfig((etcd.endpoint,), "/beside"))
    cache = AsyncDistributedCache(store, OPTIONS)
    cache.start()
    known = unknown = 0
    try:
        async with asyncio.timeout(30.0):
            while not (await cache.history(KEYS[0])).began:
                await asyncio.sleep(0.1)
        replica = Replica(cache)
        await replica.follow((await cache.put(KEYS[0], b"0")).revision)
        for start in range(0, WRITES, EACH):
            for number in range(start, start + EACH, AT_ONCE):
                written = await asyncio.gather(*(write(cache, chance, number + each) for each in range(AT_ONCE)))
                await replica.follow(max(written))
            await asyncio.to_thread(etcd.etcdctl, "compaction", str(max(written)))
            found = await check(cache, replica, chance)
            known, unknown = known + found[0], unknown + found[1]
    finally:
        await cache.close()
        with suppress(Exception):
            await store.close()
    return known, unknown


@pytest.mark.lasting
def test_history_tells_of_any_revision_what_a_replica_held_there(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    with new_etcd(tmp_path) as etcd:
        known, unknown = loop().run_until_complete(play(etcd))
    log.warning("%d writes: %d looks at a compacted past were exact, %d could not be told", WRITES, known, unknown)
    assert known > unknown
