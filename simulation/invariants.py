"""What holds of an instance after each of its steps, at each round, and at rest. Looks into its parts, changes nothing.

A step is a callback that ran for an instance. After each some numbers are compared; entries only where one is another
than before, or what they are measured by is. What nothing but more events can break waits for a round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from consistency.core.known import Kept, weight
from consistency.core.model import Revision
from simulation.instance import Instance
from simulation.life import Life
from simulation.met import Met
from simulation.owners import Owner
from simulation.surroundings import SimulatedEtcd

ROUND_EVERY = 0.1
"""Virtual seconds."""

Current = Callable[[str, int], int | None]
"""The mod_revision that a key had in etcd at a revision, 0 if it was absent; None: that can't be said."""


class Invariants:
    """`problem` is told of each that is broken, once in a life."""

    def __init__(self, instances: Sequence[Instance], current: Current, problem: Callable[[str], None]) -> None:
        self._instances = instances
        self._current = current
        self._problem = problem
        self._watched: dict[Owner, Watched] = {}

    def after_step(self, owner: Owner) -> None:
        """A callback of this process has just run."""
        watched = self._watched.get(owner) or self._found(owner)
        if watched is not None:
            watched.after_step()

    def _found(self, owner: Owner) -> Watched | None:
        for instance in self._instances:
            life = instance.life
            if life is not None and life.owner is owner:
                return self._watched.setdefault(owner, Watched(instance, life, self._current, self._problem))
        return None  # another one lives now

    async def rounds(self) -> None:
        """Look at all of them, over and over."""
        while True:
            for instance in self._instances:
                if (life := instance.alive) is not None and (watched := self._found(life.owner)) is not None:
                    watched.round()
            await asyncio.sleep(ROUND_EVERY)

    def at_rest(self, etcd: SimulatedEtcd) -> None:
        """Nobody asks for anything: nothing waits, nothing is under way or held that should have ended."""
        for instance in self._instances:
            if (life := instance.alive) is not None and (watched := self._found(life.owner)) is not None:
                watched.at_rest(etcd.heard_of_policy())
                watched.holds_nothing(self._of_the_living(etcd), etcd)

    def _of_the_living(self, etcd: SimulatedEtcd) -> tuple[str, ...]:
        """How the intents begin that somebody alive has put, who has to take them away: not if a backup brought them
        back, for then those who put them may hold them for done."""
        lives = [instance.alive for instance in self._instances] if etcd.restored is None else []
        return tuple(life.cache._parts.guard._ours for life in lives if life is not None)


class Watched:
    """One life of an instance, and what was seen at the last look."""

    def __init__(self, instance: Instance, life: Life, current: Current, problem: Callable[[str], None]) -> None:
        self._name = f"instance {instance.number}"
        self._options = instance.machine.options
        self._life = life
        self._state = life.cache._state
        self._clock = life.cache._clock
        writes = life.cache._writes
        self._groups = writes._group._calls, writes._guarded_group._calls
        self._current = current
        self._problem = problem
        self._told = set[str]()
        self._seen: tuple[object, ...] = ()
        self._compared: dict[str, Kept] = {}
        self._histories = 0
        self._horizon = 0
        self._lease = 0
        self._joined = 0.0
        self._met = Met(life.cache._fleet)

    def after_step(self) -> None:
        """What one callback can break, and the next one mend."""
        state, options = self._state, self._options
        fresh, entries, window = state._fresh, state._entries, state._window
        until, horizon, floor = fresh.fresh_until, fresh.horizon, fresh.floor
        if fresh.lease != self._lease:
            self._lease, self._joined = fresh.lease, self._clock()
        if until:
            if not fresh.lease:
                self._broken("hits are allowed without a slot")
            if floor > horizon:
                self._broken("hits are allowed although the floor is above the horizon", f"{floor}, {horizon}")
            if until - options.staleness_bound < self._joined - 1e-6:
                self._broken("hits are allowed by a proof from before the slot was won")
            if until > self._clock() + options.staleness_bound:
                self._broken("hits are allowed beyond the bound")
        for calls in self._groups:
            for group in calls.queue:
                if len(group.puts) > group.waiting:
                    self._broken("a put waits for company, and its client has gone")
        if window.until != until or window.horizon != horizon or window.floor != floor:
            self._broken("the window that hits go by is not the present one")
        kept = entries._entries
        if len(kept) > options.max_entries or entries._bytes > options.max_bytes:
            self._broken("more is held than is allowed", f"{len(kept)} entries of {entries._bytes} bytes")
        if horizon < self._horizon and fresh.histories == self._histories:
            self._broken("the horizon went back", f"from {self._horizon} to {horizon}")
        self._horizon, self._histories = horizon, fresh.histories
        seen = (horizon, floor, *kept.values())  # which are the same objects, unless one is another
        if seen != self._seen:
            all_anew = seen[:2] != self._seen[:2]
            self._seen = seen
            self._compare(kept, all_anew)

    def _compare(self, kept: Mapping[str, Kept], all_anew: bool) -> None:
        """Each entry that may be served, or each new one, with what etcd had at the horizon."""
        horizon, floor = self._state._fresh.horizon, self._state._fresh.floor
        compared = {} if all_anew else self._compared
        for key, entry in kept.items():
            if compared.get(key) is entry:
                continue
            _, mod_revision, validated_at, _, stale = entry
            if validated_at > horizon:
                self._broken("an entry is validated beyond the horizon")
            if stale or validated_at < floor:
                continue  # it is asked for again before it is served
            if (expected := self._current(key, horizon)) not in (None, mod_revision):
                self._broken(
                    "what is held as current is not what etcd had", f"{key} of {mod_revision}, {expected} at {horizon}"
                )
        self._compared = dict(kept)

    def round(self) -> None:
        """What grows slowly."""
        state = self._state
        fresh, history = state._fresh, state._fresh.history
        if state._window != fresh.window(state._holds.keys):
            self._broken("the window that hits go by is not the present one")
        usual = self._options.names_remembered
        if history._weight > 2 * usual and history._weight > usual + max(map(weight, history._events)):
            self._broken("too many names are remembered", f"{history._weight}")
        self._met.look(fresh.histories)

    def at_rest(self, policy: Revision | None) -> None:
        """See `Invariants.at_rest`. policy: the revision of the one in force, which all must have heard of; None: they
        need not."""
        cache = self._life.cache
        if policy is not None and cache.policy.mod_revision != policy:
            self._broken("it goes by a policy that is old", f"of {cache.policy.mod_revision}, not {policy}")
        writes = cache._writes
        queues = (cache._reads._batches._calls, writes._group._calls, writes._guarded_group._calls)
        if any(calls.queue for calls in queues):
            self._broken("a call waits in a queue, and nobody waits for it")
        if self._life.requests:
            self._broken("requests have not ended", f"{self._life.requests}")
        if self._state._moved.waiting:
            self._broken("somebody waits for a change of the state")
        for what, detail in self._met.wrong(self._state.snapshot().slot):
            self._broken(what, detail)

    def holds_nothing(self, living: tuple[str, ...], etcd: SimulatedEtcd) -> None:
        """No write is under way. An intent of somebody dead ends with its lease, which may be a long one.

        living: how the intents of the living begin.
        """
        for nonce in self._state.held:
            if nonce.startswith(living) or not etcd.has_intent(nonce):
                self._broken("keys are held, and nobody writes", nonce)

    def _broken(self, what: str, detail: str = "") -> None:
        if what not in self._told:
            self._told.add(what)
            self._problem(f"{self._name}: {what}{f': {detail}' if detail else ''}")
