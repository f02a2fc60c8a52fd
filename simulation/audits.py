"""Audits when nothing else happens: each tells what was written past the service, once, and nothing else (rule 13).

By then somebody holds the lowest slot, has looked at least once, and reaches etcd, as all the others do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Sequence

from consistency.core.model import Revision, VersionRecord
from consistency.instance.auditor import AUDIT
from simulation.client import Client
from simulation.etcd.records import Committed
from simulation.extras import SHORT_MEMORY
from simulation.instance import Instance
from simulation.loop import Loop
from simulation.plan import KEYS, VISIBLE, Ask
from simulation.surroundings import SimulatedEtcd
from torture.history import Kind, Level

Names = frozenset[str] | None

DONE = 200

SETTLED = 0.3
"""Virtual seconds in which what has been told has arrived, where nothing is in the way; less than between audits."""


class Audits:
    """interval: seconds between two, at most, whoever does them. `problem` is told of each that is not so."""

    def __init__(
        self,
        loop: Loop,
        instances: Sequence[Instance],
        surroundings: SimulatedEtcd,
        interval: float,
        problem: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._instances = instances
        self._surroundings = surroundings
        self._interval = interval
        self._problem = problem

    async def expect(self, *wanted: Names, since: int, or_anything: bool = False, once: bool = False) -> None:
        """That these are told, and nothing else, by versions after so many transactions of etcd's history.

        or_anything: or that anything may have changed. once: and not by the others later on, either.
        """
        until = self._loop.now + 2 * self._interval + 1.0
        while not self.told(since) and self._loop.now < until:
            await asyncio.sleep(0.05)
        await asyncio.sleep(self._interval + SETTLED if once else SETTLED)
        told = self.told(since)
        if told != [*wanted] and not ((or_anything or self._forgets()) and {*told} == {None}):
            self._problem(f"audits have told {_shown(told)}, and had to tell {_shown(wanted)}")

    def all_told(self) -> None:
        """That nothing is left that was written past the service."""
        for wrong in self._surroundings.books().untold():
            self._problem(wrong)

    def auditor(self) -> Instance | None:
        """Who holds the lowest slot, if anybody has one."""
        held = [(life.cache.status().slot, each) for each in self._instances if (life := each.alive)]
        slots = {slot: each for slot, each in held if slot is not None}
        return slots[min(slots)] if slots else None

    def _forgets(self) -> bool:
        """Whether whoever audits has forgotten versions that came since a look: then it can't compare with it."""
        auditor = self.auditor()
        return auditor is not None and auditor.machine.options.history_bytes == SHORT_MEMORY

    def told(self, since: int) -> list[Names]:
        """What audits have told after so many transactions."""
        records = (_record(committed, self._surroundings.layout.version) for committed in self._history()[since:])
        return [record.names for record in records if record is not None and record.op == AUDIT]

    def now(self) -> int:
        """How many transactions there have been."""
        return len(self._history())

    async def in_order(self, client: Client, look: Callable[[], Awaitable[None]]) -> bool:
        """What is put and deleted by the service, and past it, between two audits.

        look: everybody looks at the documents that are written past the service. False: nothing can be written.
        """
        cluster, visible = self._surroundings.cluster, [self._surroundings.layout.document(key) for key in VISIBLE]
        if await self._do(client, Kind.PUT, KEYS[0]) != DONE:  # a policy that nobody can read is in force
            self._surroundings.write_outside(2, 1)
            await asyncio.sleep(2 * self._interval + 1.0)
            await look()
            return False
        await asyncio.sleep(2 * self._interval + 1.0)  # whoever audits now has looked before
        self.all_told()
        since = self.now()
        await self._do(client, Kind.DELETE, KEYS[0])  # by the service: of that nobody has to be told
        self._surroundings.write_outside(2, 0)
        await self.expect(frozenset(VISIBLE[:2]), since=since)
        self._recorded(since, VISIBLE[:2])
        await look()
        since = self.now()
        await self._do(client, Kind.PUT, VISIBLE[2])
        cluster.write_outside({visible[0]: b'"again"'}, [visible[2]])
        await self.expect(frozenset((VISIBLE[0], VISIBLE[2])), since=since, or_anything=True)  # a look came between
        since, then = self.now(), cluster.machine.store.revision
        cluster.write_outside({visible[1]: b'"again"'}, [visible[0]])  # of which an audit has just told
        await self.expect(None, since=since, once=True)
        self._begun_anew(then)
        await look()
        return True

    async def _do(self, client: Client, kind: Kind, key: str) -> int:
        return await client.do(Ask(client.number, 0.0, 0, kind, Level.DEFAULT, (key,), (kind is Kind.DELETE,), ("",)))

    def _recorded(self, since: int, names: Collection[str]) -> None:
        """What an audit tells by name has left a record, as what the service writes (rule 19)."""
        layout = self._surroundings.layout
        audits = [
            each for each in self._history()[since:] if (told := _record(each, layout.version)) and told.op == AUDIT
        ]
        changed = {kv.key for each in audits for kv in each.changes}
        missing = [name for name in names if not any(key.startswith(layout.past(name)) for key in changed)]
        if audits and missing and self._keeps():
            self._problem(f"an audit has told of {missing}, and has left no record of it")

    def _begun_anew(self, revision: Revision) -> None:
        """Nobody knows which document has vanished: of none an earlier record is to be believed (rule 19)."""
        began = self._surroundings.cluster.machine.store.get(self._surroundings.layout.began)
        if self._keeps() and (began is None or began.mod <= revision):
            self._problem("something has vanished, nobody knows what, and all records are believed as before")

    def _keeps(self) -> bool:
        policy = self._surroundings.policy()
        if policy is None:
            return False
        said = json.loads(policy.value) if policy.value is not None else {}
        return isinstance(said, dict) and said.get("history", {}).get("keep", 1) > 0

    def _history(self) -> Sequence[Committed]:
        return self._surroundings.cluster.history


def _record(committed: Committed, version: bytes) -> VersionRecord | None:
    return next((VersionRecord.decode(kv.value) for kv in committed.changes if kv.key == version and kv.version), None)


def _shown(told: Sequence[Names]) -> str:
    return ", ".join("anything" if names is None else str(sorted(names)) for names in told) or "nothing"
