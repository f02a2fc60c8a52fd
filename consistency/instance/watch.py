"""Keeps one watch stream on the version key and the members (rules 2, 6, 7).

Owns the stream. Serves no reads and proves nothing: a silent stream is not a healthy one, freshness comes from the
reads of rule 4 alone.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import assert_never

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from consistency.core.decisions import SameHistory
from consistency.core.events import Observer, PolicyPut, WatchEnded, WatchStarted
from consistency.core.model import (
    NO_VERSION,
    AckEvent,
    DepartureEvent,
    Intent,
    MemberEvent,
    VersionEvent,
    VersionRecord,
    WaitingEvent,
    new_nonce,
)
from consistency.core.store import Compacted, Denied, Store, StoreError, WatchEvent, WatchStream
from consistency.instance.fleet import Fleet
from consistency.instance.snapshots import Start
from consistency.instance.state import LocalState
from consistency.tasks import Worker

BACKOFF = wait_random_exponential(multiplier=0.1, max=2.0)
"""Between attempts to connect: up to 0.2 s, 0.4 s … 2 s, so that an instance is back within 3 s of its etcd."""


class VersionWatch:
    """Connects, follows, and connects again; `run` belongs to a worker.

    on_moved: a proof or a slot is worth asking for now: the stream came up, or our slot is in doubt. on_owed: an event
    has been applied that asks for an acknowledgement. on_fleet: somebody has come or gone. on_policy: the policy has
    changed. on_intent: a guarded write is under way.
    """

    def __init__(
        self,
        store: Store,
        state: LocalState,
        fleet: Fleet,
        *,
        timeout: float,
        observer: Observer,
        on_moved: Callable[[], None],
        on_owed: Callable[[], None],
        on_fleet: Callable[[], None],
        on_policy: Callable[[], None],
        on_intent: Callable[[Intent], None],
    ) -> None:
        self._store = store
        self._state = state
        self._fleet = fleet
        self._timeout = timeout
        self._observer = observer
        self._on_moved = on_moved
        self._on_owed = on_owed
        self._on_fleet = on_fleet
        self._on_policy = on_policy
        self._on_intent = on_intent
        self._gap = False  # events were missed: the next stream can't go on after the horizon
        self._stream: WatchStream | None = None
        self.heard = 0
        """Events so far, and streams."""
        self._cause = ""  # why `restart` ended the stream

    async def run(self, worker: Worker) -> None:
        """One stream from its connection to its end."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StoreError),
            wait=BACKOFF,
            sleep=worker.pause,
            before_sleep=self._report,
            reraise=True,
        )
        connected: tuple[WatchStream, Start] | None = await retrying(self._connect)
        if connected is not None:
            await self._follow(*connected)
        await worker.pause(random.uniform(0.01, 0.05))  # a stream that ends at once must not make a busy loop

    def restart(self, cause: str) -> None:
        """Ends the present stream, so that the next one starts from a new survey. `cause` as in `WatchEnded`."""
        self._cause = cause
        if self._stream is not None:
            self._stream.close()

    async def _connect(self) -> tuple[WatchStream, Start] | None:
        """A stream that starts where the state needs it, or None if the state changed meanwhile: try anew."""
        ticket = self._state.ticket()
        survey = await self._store.survey(ticket.horizon or None, timeout=self._timeout)
        if survey.version == NO_VERSION:
            await self._found()
            return None
        start = self._state.start_from(ticket, survey, gap=self._gap)
        if start is None:
            return None
        self._gap = False
        self._fleet.stream_began(survey)
        stream = await self._open(start)
        if self._state.epoch != start.epoch:  # another history has been found while the stream was opened
            stream.close()
            return None
        self._stream, self._cause = stream, ""
        return stream, start

    async def _open(self, start: Start) -> WatchStream:
        try:
            return await self._store.watch(start.version_after + 1, start.members_after + 1, timeout=self._timeout)
        except Compacted:
            self._gap = True
            raise

    async def _found(self) -> None:
        """Writes the first version: a history needs a nonce to be told apart by."""
        genesis = VersionRecord(new_nonce(), names=None, op="genesis")
        await self._store.commit((), genesis, only_if_new=True, timeout=self._timeout)

    async def _follow(self, stream: WatchStream, start: Start) -> None:
        self.heard += 1
        self._observer(WatchStarted(start.version_after, history_kept=isinstance(start.lineage, SameHistory)))
        self._state.watching(True)
        self._on_moved()
        self._on_fleet()
        cause, detail = "gap", ""
        try:
            async for event in stream:
                if not self._take(event, start.epoch):
                    self._gap = True
                    break
        except StoreError as error:
            self._gap = isinstance(error, Compacted)
            cause, detail = self._cause or _cause_of(error), str(error)
        except asyncio.CancelledError:
            cause = "closed"
            raise
        finally:
            self._state.watching(False)
            self._fleet.stream_ended()
            stream.close()
            self._stream = None
            self._observer(WatchEnded(cause, detail))

    def _take(self, event: WatchEvent, epoch: int) -> bool:
        """Applies one event; False if one is missing before it."""
        self.heard += 1
        match event:
            case MemberEvent():
                self._fleet.see(event)
                if self._state.doubts(event):
                    self._on_moved()
                self._on_fleet()
            case DepartureEvent() | WaitingEvent():
                self._fleet.see(event)
                self._on_fleet()
            case AckEvent():
                self._fleet.see(event)
            case VersionEvent():
                if not self._state.apply(event, epoch):
                    return False
                if event.ack:  # only now that it is applied
                    self._fleet.owe(event.state.revision)
                    self._on_owed()
                if event.policy:
                    self._observer(PolicyPut(event.state.revision, event.authors.whole))
                    self._on_policy()
                if event.intent is not None:
                    self._on_intent(event.intent)
            case _:
                assert_never(event)
        return True

    def _report(self, attempt: RetryCallState) -> None:
        error = attempt.outcome.exception() if attempt.outcome else None
        if isinstance(error, StoreError):
            self._observer(WatchEnded(_cause_of(error), str(error)))


def _cause_of(error: StoreError) -> str:
    if isinstance(error, Compacted):
        return "compacted"
    return "denied" if isinstance(error, Denied) else "unavailable"
