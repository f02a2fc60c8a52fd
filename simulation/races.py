"""Races at the end of a run, each played as a story: an answer arrives when it is not true any more.

Owns the stories. Etcd answers a read of one instance, and this answer is held until what the story tells has happened;
every other call goes on. What the instance serves then is compared with what it must know by now.

    a write made elsewhere overtakes a load    it waits for everybody, so nobody may follow that load
    … and many more names are forgotten with it
    a write made here overtakes a load         its instance serves nothing older, though no event has told of it
    … of unknown outcome; … followed by a thousand others
    a guarded write overtakes a load           while the watch is silent
    the slot is lost and won again             the answer shows the one before
    an instance starts during a guarded write  it holds the key, as those who were there before
    an instance starts anew                    and is asked what has changed since, by clients who had been away
    the answer to a write is held              what was read meanwhile, as it was written, is kept
    a version is lost, and the key put anew    as often as to count on from the lost one: still something was missed

After each of them nobody may have taken the late answer for another history's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from consistency.core.feed import Scope, Token, Told, token_at
from consistency.core.known import WRITES_REMEMBERED
from consistency.core.records import MOST_NAMES
from consistency.core.store import Put
from consistency.etcd.calls import FIRST_LOOK
from simulation.client import PATIENCE
from simulation.ending import KEYS, SOON, TOLD_WITHIN, WELL_WITHIN, Ending, how
from simulation.instance import Instance
from torture.history import Level, Operation, Outcome

GUARDED = "t/hot-0"
"""Guarded in most of the runs in which any key is."""

PAST = "races/past-"
"""Documents whose changes are asked for."""

MOST_COUNTED = 500
"""Versions that are put by hand at most."""

EXECUTED_WITHIN = 0.02
"""Virtual seconds in which etcd has answered a read."""


class Races(Ending):
    """See the module's opening."""

    name = "in a race at the end"
    first = 4100
    _counted = False
    """Whether the version key was put anew, so that the history may seem another one."""

    async def play(self) -> None:
        """Those for which this run is made."""
        await self._well("be well before the races", WELL_WITHIN)
        if len(self._instances) < 2 or not await self._put(self._instances[0], KEYS[0], Level.SYNC):
            return
        for race in (
            self._write_elsewhere, self._write_here, self._write_unknown, self._guarded_write, self._slot_won_again,
            self._answered_late, self._started_meanwhile, self._asked_for_the_past, self._counted_anew,
        ):  # fmt: skip
            here, there = self._random.sample(self._instances, 2)
            await self._run(race, here, there)
            self.acts.append(race.__name__)

    async def _run(
        self, race: Callable[[Instance, Instance], Awaitable[None]], here: Instance, there: Instance
    ) -> None:
        life = self._life(here)
        histories = life.cache._state.histories
        await self._learn(here)
        await race(here, there)
        self._surroundings.let_answers_go()
        self._surroundings.heal_instance(here.number)
        await asyncio.sleep(TOLD_WITHIN)
        if life is here.alive and life.cache._state.histories != histories and not self._counted:
            self._broken(here, "it took an answer that came late for another history's")
        await self._well("be well after a race", WELL_WITHIN)

    # --- the stories: the answer is held at `here`

    async def _write_elsewhere(self, here: Instance, there: Instance) -> None:
        """1. A load is answered by etcd. 2. Somebody writes the key, and waits until everybody has applied that. 3. A
        reader comes: were it to follow the load, it would be told what is not true any more."""
        loading = await self._held_load(here, there, KEYS[0])
        written = await self._put(there, KEYS[0], Level.SYNC)
        if self._is_forgetful(here):
            await self._write_many(there, 2 * MOST_NAMES)
            await asyncio.sleep(SOON)
        await self._compare(here, written, loading)

    async def _write_here(self, here: Instance, there: Instance) -> None:
        """1. A load is answered by etcd. 2. The watch falls silent. 3. The key is written by this very instance. 4. A
        reader comes. 5. The load's answer arrives: it must not be kept. 6. Another reader comes."""
        loading = await self._held_load(here, there, KEYS[0])
        self._surroundings.stall_streams(here.number)
        written = await self._put(here, KEYS[0])
        if self._plan.seed % 3 == 0:
            await self._write_many(here, WRITES_REMEMBERED + MOST_NAMES)
        await self._compare(here, written, loading)

    async def _write_unknown(self, here: Instance, there: Instance) -> None:
        """As before, and the answer to the write is lost."""
        loading = await self._held_load(here, there, KEYS[0])
        self._surroundings.stall_streams(here.number)
        self._surroundings.lose_answers(1.0)
        client = self._clients[here.number]
        await client.do(self._asking(here, KEYS[0]))
        self._surroundings.lose_answers(0.0)
        written = self._last[client.number]
        unknown = written.outcome is Outcome.UNKNOWN
        current = self._surroundings.mod_revision(KEYS[0])
        await self._compare(here, written if unknown else None, loading, current)
        await asyncio.sleep(FIRST_LOOK)  # who has had no answer from an endpoint asks it nothing for so long

    async def _guarded_write(self, here: Instance, there: Instance) -> None:
        """1. A load of a guarded key is answered by etcd. 2. Somebody announces a write of it; here it is held. 3. The
        watch falls silent, so that the commit is not told. 4. The write returns: nobody may read the old value now. 5.
        The load's answer arrives, and others that show no intent any more. What is held goes on being held."""
        if not self._is_guarded(self._life(there), GUARDED) or not await self._put(there, GUARDED):
            return
        loading = await self._held_load(here, there, GUARDED)
        writing = await self._announced(there, at=here)
        self._surroundings.stall_streams(here.number)
        await self._compare(here, await writing, loading)

    async def _announced(self, there: Instance, *, at: Instance) -> asyncio.Task[Operation | None]:
        """A guarded write that is under way, once it is held at an instance: not by the intent of a write before, which
        may be done, and not told yet."""
        state = self._life(at).cache._state
        before = set(state.held)
        writing = self._loop.create_task(self._put(there, GUARDED), name="guarded put")
        while not set(state.held) - before and not writing.done():
            await asyncio.sleep(0.0002)
        return writing

    async def _slot_won_again(self, here: Instance, there: Instance) -> None:
        """1. A load is answered by etcd; it shows the member key. 2. The slot is lost, and another one is won. 3. The
        answer arrives before any other. What hits rest on is looked at after each step (`invariants`)."""
        loading = await self._held_load(here, there, KEYS[0])
        life = self._life(here)
        lease = life.cache.status().lease
        self._surroundings.revoke(lease)
        until = self._loop.now + WELL_WITHIN
        while life.cache.status().lease in (lease, 0) and self._loop.now < until:
            await asyncio.sleep(0.0002)
        self._surroundings.let_answers_go()
        await loading

    async def _answered_late(self, here: Instance, there: Instance) -> None:
        """1. A key is written here; the answer is on its way. 2. The version is applied. 3. A reader loads the key. 4.
        The answer arrives, and tells nothing that is not known."""
        del there
        if self._is_guarded(self._life(here), KEYS[0]):
            return
        self._surroundings.hold_answers(here.number, on=True, to_writes=True)
        writing = self._loop.create_task(self._put(here, KEYS[0]), name="held put")
        await asyncio.sleep(TOLD_WITHIN)
        await self._read(here, KEYS[0], stranger=True)
        self._surroundings.let_answers_go()
        if await writing is not None:
            await self._hits(here, (KEYS[0],), "it was read as it was written, and then the write was answered")

    async def _started_meanwhile(self, here: Instance, there: Instance) -> None:
        """1. An instance dies; its slot is held for a while. 2. Somebody announces a guarded write, and waits for it.
        3. It is started anew, and gets a slot. 4. A reader loads the key. 5. Another one comes: the write may be done
        any moment, so he asks etcd."""
        if not self._is_guarded(self._life(there), GUARDED) or not await self._put(there, GUARDED):
            return
        before = self._surroundings.mod_revision(GUARDED)
        self._life(here).die()
        self._surroundings.lost(here.number)
        writing = await self._announced(there, at=there)
        here.start()
        while not writing.done():
            if self._life(here).cache.status().fresh:
                await self._read(here, GUARDED, stranger=True)
                read = await self._read(here, GUARDED, stranger=True)
                if read.cache == "HIT" and read.modified == before and not writing.done():
                    self._broken(here, f"{GUARDED} is being written, and was served from memory: {how(read)}")
                    break
            await asyncio.sleep(0.02)
        await writing
        await self._well("be well after it was started anew", WELL_WITHIN)

    async def _asked_for_the_past(self, here: Instance, there: Instance) -> None:
        """What it has not seen it reads, and remembers as much of it as it may. While it reads, others write. One of
        the versions names nothing: who was away when it was put has to begin anew."""
        here, there = sorted(self._instances, key=lambda each: each.machine.options.names_remembered)[:2]
        most = here.machine.options.names_remembered
        if most > MOST_NAMES:
            return
        few, many = most // 6, most - 2
        names, tokens = list[tuple[int, frozenset[str]]](), list[Token]()

        async def write(number: int) -> None:
            tokens.append(self._token(there))
            keys = frozenset(f"{PAST}{len(names)}-{each}" for each in range(number))
            puts = [Put(key, b"0") for key in sorted(keys)]
            applied = await self._life(there).answer(self._life(there).cache.apply(puts), PATIENCE)
            names.append((applied.revision, keys))
            await asyncio.sleep(SOON)

        await write(many)
        tokens.append(self._token(there))
        self._surroundings.overwrite_version()
        nameless = self._surroundings.revision
        await asyncio.sleep(SOON)
        for _ in range(3):
            await write(few)
        await self._start_anew(here)
        await write(many)
        for token in reversed(tokens):
            told = await self._changes(here, token)
            if not told.reset and token.revision < nameless:
                self._broken(here, f"told after {token} as if version {nameless} had named something")
            self._owes(here, token, told, names)
        await asyncio.sleep(TOLD_WITHIN)  # what is remembered is looked at in rounds
        tokens.clear()
        await write(few)
        await write(many)
        await self._start_anew(here)
        asking = self._loop.create_task(self._changes(here, tokens[0]), name="asks for the past")
        await write(many)
        await write(many)
        self._owes(here, tokens[0], await asking, names)

    def _owes(self, here: Instance, token: Token, told: Told, names: Sequence[tuple[int, frozenset[str]]]) -> None:
        """All that was named in (token, to], or to begin anew."""
        owed = {key for at, keys in names for key in keys if token.revision < at <= told.to.revision}
        if not told.reset and not told.more and owed - {change.key for change in told.changes}:
            self._broken(here, f"told after {token} up to {told.to}, and not of all that has changed")

    async def _changes(self, here: Instance, token: Token) -> Told:
        life = self._life(here)
        told: Told = await life.answer(life.cache.changes(Scope(prefixes=frozenset({PAST})), after=token), PATIENCE)
        return told

    def _token(self, where: Instance) -> Token:
        applied = self._life(where).cache._state.applied
        return token_at(applied.revision, applied)

    async def _start_anew(self, here: Instance) -> None:
        self._life(here).die()
        self._surroundings.lost(here.number)
        here.start()
        await self._well("be well after it was started anew", WELL_WITHIN)

    async def _counted_anew(self, here: Instance, there: Instance) -> None:
        """1. A version is not told. 2. By hand the version key is deleted, and put as often as it had been. 3. The next
        version that is told counts one more than the last that was applied."""
        count = self._life(here).cache._state.applied.count
        if count > MOST_COUNTED:
            return
        self._surroundings.lose_events(1.0)
        written = await self._put(there, KEYS[0])
        await asyncio.sleep(SOON)
        self._surroundings.recreate_version(count)
        await asyncio.sleep(SOON)
        self._surroundings.lose_events(0.0)
        await self._put(there, KEYS[1])
        await asyncio.sleep(1.02 * self._plan.bound)
        read = await self._read(here, KEYS[0], stranger=True)
        if written is not None and read.outcome is Outcome.OK and read.modified < written.revision:
            self._broken(here, f"{read.key} was written at {written.revision}, and then read: {how(read)}")
        self._counted = True

    # --- their parts

    async def _held_load(self, here: Instance, there: Instance, key: str) -> asyncio.Task[Operation]:
        """A load that etcd has answered, and whose answer is on its way until further notice."""
        await self._put(there, key, Level.SYNC)
        await asyncio.sleep(TOLD_WITHIN)
        self._surroundings.hold_answers(here.number, on=True)
        loading = self._loop.create_task(self._read(here, key), name="held load")
        await asyncio.sleep(EXECUTED_WITHIN)
        self._surroundings.hold_answers(here.number, on=False)
        return loading

    async def _compare(
        self, here: Instance, written: Operation | None, loading: asyncio.Task[Operation], revision: int = 0
    ) -> None:
        """Two readers: one who comes now, and one who comes when the held answer has arrived."""
        if written is None:
            return
        first = self._loop.create_task(self._read(here, written.key, stranger=True), name="reader")
        await asyncio.sleep(EXECUTED_WITHIN)
        self._surroundings.let_answers_go()
        await loading
        revision = revision or written.revision
        for read in (await first, await self._read(here, written.key, stranger=True)):
            if read.outcome is Outcome.OK and read.modified < revision:
                self._broken(here, f"{read.key} was written at {revision}, and then read: {how(read)}")

    async def _write_many(self, where: Instance, names: int) -> None:
        """So many other documents, in as few versions as they take."""
        life = self._life(where)
        for start in range(0, names, MOST_NAMES):
            changes = [Put(f"races/{start + number}", b"0") for number in range(MOST_NAMES)]
            await life.answer(life.cache.apply(changes), PATIENCE)

    def _is_forgetful(self, instance: Instance) -> bool:
        return instance.machine.options.names_remembered <= MOST_NAMES
