"""One stream from etcd, with the two watches of the protocol.

Owns the stream, and what its end means. Opens none: `etcd/store.py` does, where an endpoint has just answered.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc  # type: ignore[import-untyped]

from consistency.core.store import Compacted, Unavailable, WatchEvent
from consistency.etcd import messages as answers
from consistency.etcd.endpoint import judge_rpc
from consistency.etcd.errors import Failed, Verdict, judge_canceled
from consistency.etcd.layout import Layout
from consistency.instance.workers import alarm


class EtcdWatch:
    """A `WatchStream`: one stream with two watches, told apart by their keys. Iterated by one thread, closed by any.

    Between the two watches etcd promises no order; within each the events come as they happened.
    """

    def __init__(self, call: Any, layout: Layout, endpoint: str) -> None:
        self._call = call
        self._layout = layout
        self.endpoint = endpoint
        self._early: deque[WatchEvent] = deque()  # what came before the last confirmation
        self._closed = False

    def __iter__(self) -> Iterator[WatchEvent]:
        while self._early:
            yield self._early.popleft()
        while True:
            try:
                answer = self._next()
            except Failed as failed:
                raise failed.error(f"the watch at {self.endpoint} ended", write=False) from failed
            yield from answers.events(self._layout, answer)

    def confirm(self, watches: int, timeout: float) -> None:
        """Returns when etcd has confirmed that many watches. Raises Failed; then the stream is closed."""
        deadline = time.monotonic() + timeout
        try:
            with alarm(timeout, self._call.cancel):  # gRPC has no deadline for one message of a stream
                while watches:
                    answer = self._next()
                    watches -= answer.created
                    self._early.extend(answers.events(self._layout, answer))
        except Failed as failed:
            self.close()
            if time.monotonic() >= deadline:
                silent = Verdict(Unavailable, f"the watch was not confirmed within {timeout:.1f} s")
                raise Failed(silent) from failed
            raise

    def close(self) -> None:
        """See WatchStream.close."""
        self._closed = True
        self._call.cancel()

    def _next(self) -> Any:
        started = time.monotonic()
        try:
            answer = next(self._call)
        except StopIteration:
            raise Failed(Verdict(Unavailable, "etcd ended it")) from None
        except grpc.RpcError as error:
            verdict = judge_rpc(error, time.monotonic() - started)
            raise Failed(replace(verdict, finding="closed") if self._closed else verdict) from error
        if answer.canceled:
            raise Failed(_canceled(answer))
        return answer


def _canceled(answer: Any) -> Verdict:
    """Compacted, or refused (created and canceled at once), or whatever else the reason says."""
    if answer.compact_revision:
        return Verdict(Compacted, f"it starts before {answer.compact_revision}, the oldest revision there is")
    return judge_canceled(answer.cancel_reason, created=answer.created)
