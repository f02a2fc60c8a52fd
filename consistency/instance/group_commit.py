"""Group commit: puts that come at the same time go to the store in one transaction (rule 1).

Owns which puts go together; how they wait and when they go is `shared_calls`. Does not know what a commit means:
`commit` is given. Belongs to one loop.

Only unconditional puts of different keys share one: nothing that one of them does can make another fail. Their order
is nobody's promise, since they were under way at the same time; what is true of one transaction (all or nothing, one
revision, one version that names all keys) is more than each of them was promised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from consistency.core.authors import MOST_BYTES
from consistency.core.model import Applied, Author, Policy
from consistency.core.store import OutcomeUnknown, Put, Unavailable
from consistency.instance.shared_calls import SharedCall, SharedCalls
from consistency.tasks import Errands

MAX_PUTS = 60
"""In one group: with a look at what was there before each, within etcd's 128 operations."""

MAX_BYTES = 512 * 1024
"""The most bytes of keys and values in one group, so that it stays well within one request. A larger put goes alone."""

MAX_AUTHORS = MOST_BYTES
"""Bytes of what the version says of who they are."""

PATIENCE = 0.1
"""Seconds. A transaction takes a few milliseconds, unless its endpoint has died."""

Signed = tuple[Put, Author]
Commit = Callable[[Sequence[Signed], Policy, float], Awaitable[Applied]]


class Group(SharedCall):
    """Puts that go together, all of them agreed to under the same policy (rule 15)."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: dict[str, Signed] = {}
        self.policy: Policy | None = None
        self.bytes = 0
        self.of_authors = 0
        self.applied: dict[str, Applied] = {}

    def has_room_for(self, asked: tuple[Signed, Policy]) -> bool:
        """A key occurs once: of two values for it, one would have to win."""
        (put, author), policy = asked
        fits = not self.puts or (
            policy == self.policy
            and len(self.puts) < MAX_PUTS
            and self.bytes + _size(put) <= MAX_BYTES
            and self.of_authors + author.size <= MAX_AUTHORS
        )
        return fits and put.key not in self.puts

    def add(self, signed: Signed, policy: Policy) -> None:
        """Take one more put, agreed to under `policy`, which becomes the group's. The group has room for it."""
        put, author = signed
        self.policy = policy
        self.puts[put.key] = signed
        self.bytes += _size(put)
        self.of_authors += author.size

    def remove(self, signed: Signed) -> None:
        """Give up a put that was added, and the room that it took: nobody waits for it any more."""
        put, author = signed
        del self.puts[put.key]
        self.bytes -= _size(put)
        self.of_authors -= author.size

    def result(self, key: str) -> Applied:
        """Return what became of one of its puts. Raises what ended the group."""
        self.raise_error()
        return self.applied[key]


class GroupCommit:
    """`commit` takes puts, the policy to compare, and how many seconds it has; it raises StoreError.

    `clock` gives local seconds.
    """

    def __init__(
        self, commit: Commit, clock: Callable[[], float], errands: Errands, patience: float = PATIENCE
    ) -> None:
        self._commit = commit
        self._calls = SharedCalls(
            "group-commit",
            Group,
            self._send,
            clock=clock,
            errands=errands,
            lost=OutcomeUnknown("the write was abandoned"),
            lanes=1,
            patience=patience,
        )

    async def put(self, put: Put, author: Author, policy: Policy, deadline: float) -> Applied:
        """Commit `put`, alone or in company, if this policy is in force.

        Raises Unavailable (not done) and its kind PolicyChanged, OutcomeUnknown, Rejected.

        A caller that goes away, or is out of time, before the group is sent has written nothing. After that, its write
        is seen through.
        """
        signed = (put, author)
        group = self._calls.open((signed, policy))
        group.add(signed, policy)
        try:
            done = await self._calls.join(group, deadline)
        finally:
            if not group.sent:
                group.remove(signed)
        if done:
            return group.result(put.key)
        if group.sent:
            raise OutcomeUnknown("no answer from etcd within the deadline")
        raise Unavailable("the writes before it took too long; nothing was sent")

    async def _send(self, group: Group, timeout: float) -> None:
        puts = tuple(group.puts.values())
        assert group.policy is not None  # that of its first put
        applied = await self._commit(puts, group.policy, timeout)
        for (put, _), existed in zip(puts, applied.existed, strict=True):
            group.applied[put.key] = Applied(applied.revision, (existed,), applied.acks)


def _size(put: Put) -> int:
    return len(put.key) + len(put.value)
