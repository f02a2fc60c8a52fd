"""One stream from etcd, with the two watches of the protocol.

Owns the stream, the reading of its events, and what its end means. Opens none: `watches` does, where an endpoint has
just answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from consistency.core.model import (
    AckEvent,
    DepartureEvent,
    MemberEvent,
    VersionEvent,
    VersionRecord,
    VersionState,
    WaitingEvent,
)
from consistency.core.store import Compacted, Unavailable, WatchEvent
from consistency.etcd import readings
from consistency.etcd.calls import diagnose_rpc
from consistency.etcd.errors import Diagnosis, Failed, diagnose_canceled
from consistency.etcd.transactions import Layout
from consistency.tasks import is_to_end

_DELETE = 1  # mvccpb.Event.EventType
_REVISION = re.compile(rb"[0-9]{1,19}")  # no more digits than 64 bits hold


class EtcdWatch:
    """A `WatchStream`: one stream with two watches, told apart by their keys.

    Its sending half stays open: a proxy would take its end for the stream's. Between the two watches etcd promises no
    order; within each the events come as they happened.
    """

    def __init__(self, call: Any, layout: Layout, endpoint: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._call = call
        self._clock = clock
        self._layout = layout
        self.endpoint = endpoint
        self._events: deque[WatchEvent] = deque()  # those of the last answer that have not been handed out
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._events:
            try:
                answer = await self._next()
            except Failed as failed:
                raise failed.error(f"the watch at {self.endpoint} ended", write=False) from failed
            self._events.extend(events(self._layout, answer))
        return self._events.popleft()

    async def begin(self, requests: Sequence[Any], timeout: float) -> None:
        """Ask for the watches; return when etcd has confirmed them. Raises Failed; then the stream is closed."""
        try:
            async with asyncio.timeout(timeout):
                await self._ask(requests)
        except TimeoutError:
            self.close()
            silent = Diagnosis(Unavailable, f"the watch was not confirmed within {timeout:.1f} s")
            raise Failed(silent) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """See WatchStream.close."""
        self._closed = True
        self._events.clear()
        self._call.cancel()

    async def _ask(self, requests: Sequence[Any]) -> None:
        for request in requests:
            with self._translated(), contextlib.suppress(asyncio.InvalidStateError):  # it has ended: reading tells why
                await self._call.write(request)
        watches = len(requests)
        while watches:
            answer = await self._next()
            watches -= answer.created
            self._events.extend(events(self._layout, answer))

    async def _next(self) -> Any:
        with self._translated():
            answer = await self._call.read()
        if self._closed:  # perhaps while the answer was on its way to who waits here
            raise Failed(Diagnosis(Unavailable, "closed"))
        if answer is grpc.aio.EOF:
            raise Failed(Diagnosis(Unavailable, "etcd ended it"))
        if answer.canceled:
            raise Failed(_canceled(answer))
        return answer

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        started = self._clock()
        try:
            yield
        except grpc.RpcError as error:
            diagnosis = diagnose_rpc(error, self._clock() - started)
            raise Failed(replace(diagnosis, finding="closed") if self._closed else diagnosis) from error
        except asyncio.CancelledError as error:
            if is_to_end():
                raise
            raise Failed(Diagnosis(Unavailable, "closed")) from error


def _canceled(answer: Any) -> Diagnosis:
    """Compacted, or refused (created and canceled at once), or whatever else the reason says."""
    if answer.compact_revision:
        return Diagnosis(Compacted, f"it starts before {answer.compact_revision}, the oldest revision there is")
    return diagnose_canceled(answer.cancel_reason, created=answer.created)


def events(layout: Layout, answer: Any) -> Iterator[WatchEvent]:
    """Yield the events of one answer of a watch, in its order. Keys that concern nobody are passed over."""
    for event in answer.events:
        kv, gone = event.kv, event.type == _DELETE
        if kv.key == layout.version:
            yield _version_event(kv, gone)
        elif (slot := layout.slot_of(kv.key)) is not None:
            held = not gone and layout.held_slot_of(kv.key, kv.lease) is not None
            yield MemberEvent(kv.mod_revision, slot, readings.member(slot, kv) if held else None)
        elif (slot := layout.acked_slot_of(kv.key, kv.lease)) is not None:
            if _REVISION.fullmatch(kv.value):
                yield AckEvent(kv.mod_revision, slot, int(kv.value))
        elif (lease := layout.departed_lease_of(kv.key)) is not None:
            yield DepartureEvent(kv.mod_revision, lease, None if gone else readings.departure(lease, kv))
        elif (lease := layout.waiting_lease_of(kv.key)) is not None:
            yield WaitingEvent(kv.mod_revision, lease, readings.member(None, kv) if kv.lease == lease != 0 else None)


def event_of(state: VersionState, record: VersionRecord) -> VersionEvent:
    """What the watch tells of a version, which stands as `state`."""
    return VersionEvent(
        state,
        record.names,
        record.ack,
        record.op,
        record.authors,
        record.policy,
        record.kept,
        record.intent,
        record.release,
    )


def _version_event(kv: Any, gone: bool) -> VersionEvent:
    if gone:
        return VersionEvent(VersionState(kv.mod_revision, created=0, count=0, nonce=""), names=None)
    record = readings.version_record(kv.value)
    state = VersionState(kv.mod_revision, kv.create_revision, kv.version, record.nonce)
    return event_of(state, record)
