"""The parts that all followers of changes share (rule 18): who waits for what, the proofs of silence, and the past.

Owns the ends of the ways through the scopes: where they begin, who wakes them, when they are over. A way itself is
`following`'s. A client that waits costs no task of ours and no call: an event wakes those whom it concerns, and the
instance's own proofs are everybody's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from consistency.core.events import Observer
from consistency.core.feed import Scope, Token, Told
from consistency.core.model import Revision, VersionEvent
from consistency.core.options import CacheOptions
from consistency.core.store import Store, StoreError, Unavailable
from consistency.instance.crowd import Crowd
from consistency.instance.followers import Followers, Index
from consistency.instance.following import Following
from consistency.instance.past_values import PastValues
from consistency.instance.reads import SESSION_PATIENCE, Reads
from consistency.instance.shared_past import SharedPast
from consistency.instance.state import LocalState
from consistency.tasks import Errands, Worker

APPLIED_REMEMBERED = 1024
"""Events of which it is known when they were applied, to tell how late they are told."""


class Feed:
    """See the module's opening. Belongs to one loop; `run` to a worker, which `wake` is the bell of."""

    def __init__(
        self,
        store: Store,
        state: LocalState,
        reads: Reads,
        options: CacheOptions,
        *,
        observer: Observer,
        clock: Callable[[], float],
        errands: Errands,
    ) -> None:
        self.state = state
        self._reads = reads
        self._options = options
        self.observer = observer
        self.clock = clock
        crowd = Crowd()
        self.index = Index(crowd)
        self.past = SharedPast(store, state, options, crowd, observer=observer, clock=clock)
        self.values = PastValues(store, state, errands, crowd, options.timeout)
        self.closed = False
        self._proven = True  # as all have been told
        self._applied: OrderedDict[Revision, float] = OrderedDict()  # when, local seconds
        self.bell: Callable[[], None] = lambda: None
        state.tell_changes_to(self._see)

    def following(self, scope: Scope, after: Token | None, *, values: bool) -> Following:
        """The way of one client through a scope, from a token on; None: from a reset. A context: in it, it goes on."""
        return Following(self, scope, after, values)

    async def changes(self, scope: Scope, after: Token | None, *, wait: float, values: bool) -> Told:
        """See `AsyncDistributedCache.changes`."""
        with self.following(scope, after, values=values) as following:
            return await following.told(wait)

    def join(self, scope: Scope) -> Followers:
        """Have a scope looked after, until its followers are left (`Index.leave`)."""
        here = self.state.here()
        followers = self.index.join(scope, here.revision if here else 0)
        self.bell()
        return followers

    async def prove(self) -> None:
        """Ask for a proof, shared with all who do. Raises Unavailable if none has come."""
        await self._reads.prove()
        if not self.is_proven():
            raise Unavailable("it could not be proven that nothing else has changed")

    def age(self) -> float | None:
        """Seconds since everything that had been committed is known to have been applied."""
        return self.age_of(self.state.complete_at)

    def age_of(self, complete_at: float | None) -> float | None:
        """Seconds since then, if it is known."""
        return None if complete_at is None else max(0.0, self.clock() - complete_at)

    def is_proven(self) -> bool:
        """Whether it can be said that nothing has changed."""
        age = self.age()
        return age is not None and age < self._options.staleness_bound

    def applied_ago(self, revision: Revision) -> float | None:
        """Seconds since the event of a revision was applied here; None if that is not remembered."""
        at = self._applied.get(revision)
        return None if at is None else self.clock() - at

    def close(self) -> None:
        """Tell every waiting client that it is over."""
        self.closed = True
        self.index.wake_all()

    async def run(self, worker: Worker) -> None:
        """See that whoever follows hears when silence is not proven any more, and when it is again."""
        if not self.index:
            await worker.pause(self._options.staleness_bound)
            return
        proven = self.is_proven()
        if proven is not self._proven:
            self._proven = proven
            self.index.wake_all()
        if not proven:
            await self.state.await_move(self._options.staleness_bound)
            return
        await worker.pause(max(0.001, self._options.staleness_bound - (self.age() or 0.0)))

    # For the ways through the scopes

    async def reach(self, revision: Revision) -> bool:
        """Have the horizon at `revision`; whether it is (rule 10). Raises WrongTimeline if that is not to come."""
        until = self.clock() + SESSION_PATIENCE
        await self.state.await_horizon(revision, until)
        if self._is_at(revision):
            return True
        try:
            await self._reads.reach(revision)
        except StoreError:
            return False
        return self._is_at(revision)

    def _is_at(self, revision: Revision) -> bool:
        here = self.state.here()
        return here is not None and here.revision >= revision

    def _see(self, event: VersionEvent | None) -> None:
        if event is None:
            self.past.begin_anew()
            here = self.state.here()
            self.index.begin_anew(here.revision if here else 0)  # with 0 nothing is owed until it begins once more
            return
        self._applied[event.state.revision] = self.clock()
        if len(self._applied) > APPLIED_REMEMBERED:
            self._applied.popitem(last=False)
        self.index.see(event.names, event.state.revision)
