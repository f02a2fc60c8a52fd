"""The calm end of a run: all is well, nobody else asks for anything, so what reads and writes cost is known exactly.

Owns what is asked then, and what it may cost: the calls that etcd has taken (`counting`), and whence each answer came.
A read that could have been a hit and asks etcd breaks no promise of freshness; here it is found all the same.

    a value that was read is a hit            until its age is over, or a version names it, or the slot was lost
    an idle instance proves, and no more      every B/2; nobody begins another stream
    a write makes one read necessary          of the key, at each instance; of no other key, and of none that is cached
    a herd loads once                         however many come at one moment
    a stream that goes on forgets nothing     nor does a gap whose history can be proven: then no value is moved again
    a document with a lease is never held     it can vanish without a word

Clients' answers are judged as all others are, too.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from simulation.client import PATIENCE
from simulation.ending import KEYS, SOON, TOLD_WITHIN, WELL_WITHIN, Ending, how
from simulation.instance import Instance
from simulation.plan import OUTSIDE
from simulation.surroundings import name_of

QUIET = 12.5
"""Virtual seconds in which nobody asks for anything: more than the patrol waits for a watch that tells nothing."""

BESIDES = 3
"""Proofs more than that: the first, the last, and a look of the patrol, which reads as much."""

HERD = 30
"""Readers who come at one moment."""

OFFSETS = tuple(number * 0.0004 for number in range(8))
"""Virtual seconds between a put and a read of its key, at the same instance: while it is under way, mostly."""

LEASED = f"{OUTSIDE}leased"
"""A document that is put past the service, with a lease."""


class Calm(Ending):
    """See the module's opening."""

    name = "in the calm end"
    undisturbed = True

    async def play(self) -> None:
        """All of it, as far as documents can be written: a policy that nobody can read may have been left."""
        await self._well("be well before the calm end", WELL_WITHIN)
        self._counting.on = True
        for key in KEYS:
            if not await self._put(self._somebody(), key):
                return
        await asyncio.sleep(TOLD_WITHIN)
        for act in (
            self._nobody_asks, self._everybody_reads, self._one_writes, self._reads_and_writes_at_once, self._herd,
            self._stream_ends, self._policy_put, self._event_lost, self._slot_lost, self._leased_document,
        ):  # fmt: skip
            await act()
            self.acts.append(act.__name__)

    # --- what happens

    async def _nobody_asks(self) -> None:
        """An instance proves every B/2, and no more. What is too old then is loaded whole again."""
        await self._everywhere(self._learn)
        since = len(self._counting.taken)
        streams = [instance.streams for instance in self._instances]
        await asyncio.sleep(QUIET)
        for instance, before in zip(self._instances, streams, strict=True):
            calls = self._counting.of(name_of(instance.number), since)
            proofs = sum(each.is_proof for each in calls)
            if proofs > QUIET * instance.machine.rate / instance.machine.options.proof_interval + BESIDES:
                self._broken(instance, f"nobody asked for {QUIET:g} s, and it proved {proofs} times")
            if instance.streams > before:  # a Watch alone is none: an auditor may read the past by one
                self._broken(instance, f"nothing was wrong for {QUIET:g} s, and it began another stream")
        await self._everywhere(self._reload_what_is_old)

    async def _reload_what_is_old(self, instance: Instance) -> None:
        if instance.machine.options.max_age > QUIET:
            return
        for key in KEYS:
            since = len(self._counting.taken)
            read = await self._read(instance, key)
            if self._asked_for(instance, key, since) != [True]:
                self._broken(instance, f"{key} is older than it may grow, and was not loaded whole again: {how(read)}")

    async def _everybody_reads(self) -> None:
        await self._everywhere(self._learn)
        await self._everywhere(self._hits)

    async def _one_writes(self) -> None:
        """What it has written is asked for once by everybody. All else goes on being served from memory."""
        await self._everywhere(self._learn)
        await self._put(self._somebody(), KEYS[0])
        await asyncio.sleep(TOLD_WITHIN)
        await self._everywhere(self._asks_once_for_the_first)
        await self._everywhere(self._hits)

    async def _asks_once_for_the_first(self, instance: Instance) -> None:
        await self._hits(instance, KEYS[1:])
        await self._learn(instance, KEYS[:1])

    async def _reads_and_writes_at_once(self) -> None:
        """A read that comes while its key is being written here, and shows the write, is not asked for again."""
        key = KEYS[0]
        for offset in OFFSETS:
            instance = self._somebody()
            writing = self._loop.create_task(self._put(instance, key), name="calm put")
            await asyncio.sleep(offset)
            read = await self._read(instance, key, stranger=True)
            written = await writing
            await asyncio.sleep(TOLD_WITHIN)
            if written is not None and read.revision >= written.revision:
                await self._hits(instance, (key,), "it was read while it was written, and as it was written")

    async def _herd(self) -> None:
        """Many readers of a key that was just written."""
        instance, key = self._somebody(), KEYS[1]
        await self._put(self._somebody(), key)
        await asyncio.sleep(TOLD_WITHIN)
        since = len(self._counting.taken)
        life = self._life(instance)
        if self._is_guarded(life, key):
            return
        await asyncio.gather(*(life.answer(life.cache.get(key), PATIENCE) for _ in range(HERD)))
        if len(asked := self._asked_for(instance, key, since)) != 1:
            self._broken(instance, f"{HERD} readers of {key} at one moment were {len(asked)} loads")

    async def _stream_ends(self) -> None:
        """And another one goes on after it: no version is missed."""
        instance = self._somebody()
        await self._learn(instance)
        self._surroundings.reset(instance.number, streams_only=True)
        await asyncio.sleep(SOON)
        await self._well("come back after its stream had ended", WELL_WITHIN)
        await self._hits(instance, KEYS, "a stream that goes on forgets nothing")

    async def _event_lost(self) -> None:
        """The history is proven to go on: values are asked for, and only if they are newer."""
        await self._everywhere(self._learn)
        self.undisturbed = False  # an auditor that has a gap compares with nothing
        self._surroundings.lose_events(1.0)
        await self._put(self._instances[0], KEYS[0])
        await asyncio.sleep(SOON)
        self._surroundings.lose_events(0.0)
        await self._put(self._instances[0], KEYS[1])
        await asyncio.sleep(TOLD_WITHIN)
        await self._well("come back after a version was lost", WELL_WITHIN)
        await self._everywhere(self._validates)

    async def _validates(self, instance: Instance) -> None:
        """What was not written is asked for by its revision, and kept."""
        key, since = KEYS[2], len(self._counting.taken)
        if self._is_old(instance, key):
            return
        read = await self._read(instance, key)
        if self._asked_for(instance, key, since) != [False]:
            self._broken(instance, f"after a gap {key} was not asked for by its revision: {how(read)}")
        await self._hits(instance, (key,))

    async def _policy_put(self) -> None:
        """Everybody hears of it. It holds every key, and lets go of all with its commit: no entry is touched."""
        await self._everywhere(self._learn)
        life = self._life(self._somebody())
        policy = json.loads(life.cache.policy.text or b"{}")
        defaults: dict[str, Any] = {"history": {}, "schemas": {}, "reason_required": [], "guarded": []}
        said = defaults | policy | {"note": "calm"}
        said["guarded"] = [*said["guarded"], "calm/"]
        written = await life.answer(life.cache.put_policy(json.dumps(said).encode()), PATIENCE)
        await asyncio.sleep(SOON)
        await self._everywhere(self._hits_after_a_policy)
        await asyncio.sleep(TOLD_WITHIN)
        for instance in self._instances:
            policy = self._life(instance).cache.policy
            if policy.mod_revision != written.revision:
                self._broken(instance, f"it goes by the policy of {policy.mod_revision}, not {written.revision}")

    async def _hits_after_a_policy(self, instance: Instance) -> None:
        await self._hits(instance, KEYS, "a policy that was put touches no document")

    async def _slot_lost(self) -> None:
        """What was validated before is validated again: perhaps nobody has looked for writes past the service."""
        instance = self._somebody()
        await self._learn(instance)
        life = self._life(instance)
        self._surroundings.revoke(life.cache.status().lease)
        await asyncio.sleep(SOON)
        await self._well("come back after its slot was lost", WELL_WITHIN)
        since = len(self._counting.taken)
        read = await self._read(instance, KEYS[2])
        if not self._asked_for(instance, KEYS[2], since):
            self._broken(instance, f"{KEYS[2]} was served from before the slot was lost: {how(read)}")

    async def _leased_document(self) -> None:
        """Nobody keeps it in memory, since its end is told by no version."""
        lease = self._surroundings.write_leased(LEASED)
        for instance in self._instances:
            for _ in range(2):
                since = len(self._counting.taken)
                read = await self._read(instance, LEASED)
                if not self._asked_for(instance, LEASED, since):
                    self._broken(instance, f"a document with a lease was kept in memory: {how(read)}")
        self._surroundings.revoke(lease)
