"""The fake store's watch: one queue of events, delivered when the test says so.

Owns what one stream has yet to deliver. Its state is protected by the store's lock, which it is given.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from consistency.core.model import (
    AckEvent,
    Departure,
    DepartureEvent,
    Member,
    MemberEvent,
    Revision,
    VersionEvent,
    WaitingEvent,
)
from consistency.core.store import StoreError, Unavailable, WatchEvent
from consistency.etcd.transactions import Layout
from simulation.etcd.mvcc import Kv
from tests.support.bell import Bell
from tests.support.fake_etcd import version_event


class FakeStream:
    """A WatchStream. `pending` events are delivered freely, or `allowed` of them while the watch is paused."""

    def __init__(
        self,
        lock: threading.RLock,
        changed: Bell,
        paused: Callable[[], bool],
        start: tuple[Revision, Revision],
    ) -> None:
        self._lock = lock  # protects everything below
        self._changed = changed
        self._paused = paused
        self._version_from, self._members_from = start
        self.pending: deque[WatchEvent] = deque()
        self.allowed = 0
        self.deaf = False
        self.error: StoreError | None = None
        self._waiting = False

    def __aiter__(self) -> Self:
        return self

    def close(self) -> None:
        with self._lock:
            self.end_locked(Unavailable("the watch was closed"))

    def offer_locked(self, event: WatchEvent | None) -> None:
        """Queues an event, unless it is of no interest or from before the stream's start."""
        if self.deaf:
            return
        match event:
            case VersionEvent(state=state) if state.revision >= self._version_from:
                self.pending.append(event)
            case (
                MemberEvent(revision=revision)
                | AckEvent(revision=revision)
                | DepartureEvent(revision=revision)
                | WaitingEvent(revision=revision)
            ) if revision >= self._members_from:
                self.pending.append(event)

    def end_locked(self, error: StoreError) -> None:
        """Ends the stream; the first reason stays."""
        self.error = self.error or error
        self.pending.clear()
        self._changed.ring()

    def settled(self) -> bool:
        """Nothing may be delivered, and the consumer is waiting (or was told that the stream has ended)."""
        return self.error is not None or (self._waiting and not self._deliverable())

    def _deliverable(self) -> bool:
        return bool(self.pending) and (self.allowed > 0 or not self._paused())

    async def __anext__(self) -> WatchEvent:
        self._waiting = True
        self._changed.ring()
        await self._changed.until(lambda: self.error is not None or self._deliverable())
        with self._lock:
            self._waiting = False
            if self.error is not None:
                raise self.error
            self.allowed = max(0, self.allowed - 1)
            return self.pending.popleft()


def to_event(layout: Layout, kv: Kv) -> WatchEvent | None:
    """What a change means to a watcher; None when it concerns neither the version key nor a member."""
    if kv.key == layout.version:
        return version_event(kv)
    if (acked := layout.acked_slot_of(kv.key, kv.lease)) is not None:
        return AckEvent(kv.mod, acked, int(kv.value)) if kv.value.isdigit() else None
    if (lease := layout.departed_lease_of(kv.key)) is not None:
        return DepartureEvent(kv.mod, lease, Departure.decode(lease, kv.value) if kv.lease else None)
    if (lease := layout.waiting_lease_of(kv.key)) is not None:
        waits = kv.version and kv.lease == lease != 0
        return WaitingEvent(kv.mod, lease, Member.read(None, lease, kv.created, kv.value.decode()) if waits else None)
    slot = layout.slot_of(kv.key)
    if slot is None:
        return None
    held = kv.version and layout.held_slot_of(kv.key, kv.lease) is not None
    member = Member.read(slot, kv.lease, kv.created, kv.value.decode()) if held else None
    return MemberEvent(kv.mod, slot, member)
