"""Clients that follow a scope: each goes from instance to instance with its token, and writes down what it is told.

Even ones ask as a long poll does, odd ones go on and on as a stream does (`service.changes`), until their instance
stops, or they have had enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from consistency import AsyncDistributedCache, Scope, StoreError, Token, Told, WrongTimeline
from simulation.instance import Instance
from simulation.life import Gone, Life
from simulation.loop import Loop
from simulation.plan import BOTH, BYSTANDERS, OUTSIDE
from simulation.promised import wrong_with
from torture.followed import Told as Word

SCOPES: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (("t/",), ()),
    (("t/hot", "t/warm-1"), ("t/cold-1",)),
    ((), ("t/hot-0", "t/hot-1", "t/warm-2")),
)
"""Prefixes and keys, each of which there are."""

OTHERS: tuple[tuple[str, ...], tuple[str, ...]] = ((OUTSIDE, BOTH), ())
"""What bystanders follow: others write it. What they hold is compared when all is over, and not before: a change that
others make is told when an audit has found it."""

LATE = 0.06
"""Of the times that a client asks, so many before which it has been away for a while, or has forgotten what it held."""

TRIES = 5
"""Times that one asks at the end, at most, without being told anything."""

PATIENCE = 5.0
SILENCE = 2.0
"""Virtual seconds: beyond what it waits for changes; and for those that go on and on, until they hear of silence."""

SLOW = 0.1
"""Of the times that a stream has told something, so many after which its client takes nothing for a while."""

Record = Callable[[Word], None]


class Follower:
    """One of them."""

    def __init__(
        self,
        number: int,
        loop: Loop,
        instances: Sequence[Instance],
        random: Random,
        record: Record,
        problem: Callable[[str], None],
        untold: Callable[[Scope, int, float], str],
    ) -> None:
        self.number = number
        self._loop = loop
        self._instances = instances
        self._random = random
        self._record = record
        self._problem = problem
        self._untold = untold
        self._prefixes, self._keys = OTHERS if number in BYSTANDERS else SCOPES[number // 2 % len(SCOPES)]
        self._scope = Scope(frozenset(self._keys), frozenset(self._prefixes))
        self._streams = number % 2 == 1
        self._token: Token | None = None
        self._held: dict[str, tuple[int, bytes]] = {}

    async def play(self, until: float) -> None:
        """Follow until then."""
        while self._loop.now < until:
            if self._random.random() < LATE:
                await asyncio.sleep(self._random.uniform(0.5, 3.0))
            elif self._random.random() < LATE:
                self._token = None
            instance = self._random.choice(self._instances)
            wait = self._random.choice((0.0, 0.3, 2.0))
            lives = self._random.uniform(0.5, 6.0) if self._streams else wait
            life, invoked = instance.alive, self._loop.now
            try:
                if life is None:
                    raise Gone("refused")
                work = self._stream(life, instance, invoked + lives) if self._streams else self._poll(life.cache, wait)
                told = await life.answer(work, lives + PATIENCE)
                if told is not None:
                    self._take(instance, invoked, told)
                    continue
            except WrongTimeline:
                self._token = None
            except (StoreError, Gone):
                pass  # it is asked again, perhaps elsewhere
            except Exception as error:  # noqa: BLE001  # as for any client
                self._problem(f"follower {self.number}: {type(error).__name__}: {error}")
            self._note("lost", instance, invoked)
            await asyncio.sleep(self._random.uniform(0.01, 0.5))

    async def compare(self, there: Callable[[], Mapping[str, tuple[int, bytes]]]) -> None:
        """When all is over: go on to the end, and hold what etcd has."""
        for _ in range(TRIES):
            instance, invoked = self._random.choice(self._instances), self._loop.now
            try:
                if instance.alive is None:
                    raise Gone("refused")
                while True:
                    told = await instance.alive.answer(self._poll(instance.alive.cache, 0.0), PATIENCE)
                    self._take(instance, invoked, told)
                    if told.age is not None and not told.more:  # else it is the rest of a scope as it was
                        break
            except WrongTimeline:
                self._token = None
            except (StoreError, Gone):
                await asyncio.sleep(0.5)
            else:
                expected = {key: each for key, each in there().items() if key in self._scope}
                if self._held != expected:
                    wrong = {key for key, _ in self._held.items() ^ expected.items()}
                    self._problem(
                        f"follower {self.number} holds at the end"
                        f" {[(key, self._held.get(key), expected.get(key)) for key in sorted(wrong)]}"
                    )
                return
        self._problem(f"follower {self.number} is told nothing though all faults are over")

    async def _poll(self, cache: AsyncDistributedCache, wait: float) -> Told:
        return await cache.changes(self._scope, after=self._token, wait=wait)

    async def _stream(self, life: Life, instance: Instance, until: float) -> None:
        """What it is told is there at once: the connection to a client is nobody's concern here."""
        invoked = self._loop.now
        with life.cache.following(self._scope, after=self._token) as following:
            self._hear(instance, invoked, await following.told(0.0))
            while self._loop.now < until and not life.stopping:
                said = await following.next(SILENCE)
                if isinstance(said, Told):
                    self._hear(instance, invoked, said)
                else:
                    self._note("stale", instance, invoked)
                if self._random.random() < SLOW:
                    await asyncio.sleep(self._random.uniform(0.1, 1.5))  # meanwhile what it is owed gathers
            following.hasten()
            self._hear(instance, invoked, await following.told(0.0))

    def _hear(self, instance: Instance, invoked: float, told: Told) -> None:
        """At the very moment: so its age is counted from now. All that was there by then has been told, or is now."""
        self._take(instance, invoked, told)
        if told.age is None or told.more or self.number in BYSTANDERS:
            return
        proven = self._loop.now - told.age / instance.machine.rate
        if name := self._untold(self._scope, told.to.revision, proven):
            self._problem(
                f"follower {self.number} at instance {instance.number}: told up to {told.to.revision} as the newest of"
                f" {proven:.6f} s was not {name}"
            )

    def _take(self, instance: Instance, invoked: float, told: Told) -> None:
        rate, bound = instance.machine.rate, instance.machine.options.staleness_bound
        if wrong := wrong_with(told, self._token, bound, (self._loop.now - invoked) * rate):
            self._problem(f"follower {self.number} at instance {instance.number}: {wrong}")
        if told.reset:
            self._held = {}
        for each in told.changes:
            self._held.pop(each.key, None)
            if each.value is not None:
                self._held[each.key] = each.mod_revision, each.value
        changes = tuple(
            (each.key, None if each.value is None else each.value.decode(), each.mod_revision) for each in told.changes
        )
        self._record(
            Word(
                **self._named(instance, invoked, "told"),
                since=0 if told.reset or self._token is None else self._token.revision,
                to=told.to.revision,
                reset=told.reset,
                part=bool(told.to.place),
                more=told.more,
                changes=changes,
                age=-1.0 if told.age is None else told.age / instance.machine.rate,
            )
        )
        self._token = Token.parse(str(told.to))  # as it comes from a client

    def _note(self, word: str, instance: Instance, invoked: float) -> None:
        self._record(Word(**self._named(instance, invoked, word)))

    def _named(self, instance: Instance, invoked: float, word: str) -> dict[str, Any]:
        return {
            "follower": self.number,
            "streams": self._streams,
            "instance": instance.number,
            "prefixes": self._prefixes,
            "keys": self._keys,
            "word": word,
            "invoked": invoked,
            "returned": self._loop.now,
        }
