"""Clients that ask for what no history of operations has: listings in pages, names that changed, the fleet's id.

What they are told is compared with etcd's own history at once; nothing is compared once a backup was restored, for then
it can't be said which history an answer is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from consistency import Scope, Token, Told
from consistency.core.answers import Page
from simulation.asking import Ask, Asker
from simulation.documents import Documents
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.promised import wrong_with

PREFIXES = ("", "t/", "t/hot-", "t/none", "outside/")
LIMITS = (1, 7, 100)
WAIT = 0.5
"""Virtual seconds that it waits for changes."""

NAMES = Scope(prefixes=frozenset(("t/",)))


class Onlooker(Asker):
    """See the module's opening. documents: None once nothing can be compared."""

    def __init__(
        self,
        number: int,
        loop: Loop,
        instances: Sequence[Instance],
        documents: Callable[[], Documents | None],
        random: Random,
        problem: Callable[[str], None],
    ) -> None:
        super().__init__(f"onlooker {number}", loop, instances, random, problem)
        self._documents = documents
        self._token: Token | None = None
        self._fleet_ids: set[str] = set()

    def _asks(self) -> Sequence[Ask]:
        return self._list, self._list, self._names, self._names, self._fleet_id

    def _forget(self) -> None:
        self._token = None

    async def _list(self, instance: Instance, patience: float) -> None:
        """All pages, one after another. Each is of a moment of its own."""
        prefix, limit = self._random.choice(PREFIXES), self._random.choice(LIMITS)
        after: str | bytes = ""
        while True:
            least = self._committed()
            page: Page = await self._asked(
                instance,
                patience,
                lambda cache, after=after: cache.page(prefix, after=after, limit=limit),  # type: ignore[misc]
            )
            self._compare_page(page, prefix, after, least)
            if not page.more or self._loop.now >= self._until:
                return
            last = page.keys[-1].key
            after = last if self._random.random() < 0.5 else last.encode() + b"\x00"

    def _committed(self) -> int:
        documents = self._documents()
        return documents.revision if documents is not None else 0

    def _compare_page(self, page: Page, prefix: str, after: str | bytes, least: int) -> None:
        documents = self._documents()
        if documents is None:
            return
        first = after if isinstance(after, bytes) else after.encode() + b"\x00" if after else b""
        there = {
            key: version.revision
            for key, version in documents.all_at(page.header.revision).items()
            if key.startswith(prefix) and key.encode() >= first
        }
        expected = sorted(there.items(), key=lambda each: each[0].encode())
        listed = [(each.key, each.mod_revision) for each in page.keys]
        if page.header.revision < least:
            self._problem(f"a listing is of {page.header.revision}, {least} had been committed before")
        if listed != expected[: len(listed)] or page.more is not (len(expected) > len(listed)):
            self._problem(f"listed at {page.header.revision} was {listed}, in etcd was {expected}")

    async def _names(self, instance: Instance, patience: float) -> None:
        """Which keys have changed, without their values."""
        token, invoked = self._token if self._random.random() < 0.9 else None, self._loop.now
        told: Told = await self._asked(
            instance, WAIT + patience, lambda cache: cache.changes(NAMES, after=token, wait=WAIT, values=False)
        )
        elapsed, bound = self._loop.now - invoked, instance.machine.options.staleness_bound
        if wrong := wrong_with(told, token, bound, elapsed * instance.machine.rate):
            self._problem(wrong)
        self._token = Token.parse(str(told.to))
        documents = self._documents()
        for each in told.changes if documents is not None else ():
            assert documents is not None
            there = documents.mod_revision_at(each.key, told.to.revision)
            if each.value is not None or there != (each.mod_revision if each.op == "put" else 0):
                self._problem(f"told up to {told.to.revision}: {each}, in etcd was {there}")

    async def _fleet_id(self, instance: Instance, patience: float) -> None:
        self._fleet_ids.add(await self._asked(instance, patience, lambda cache: cache.fleet_id()))
        if len(self._fleet_ids) > 1 and self._documents() is not None:
            self._problem(f"the fleet has several ids: {sorted(self._fleet_ids)}")
