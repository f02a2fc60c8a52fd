"""Opening a watch: at an endpoint that answers, and that takes streams. What comes of it is `watch`'s.

A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from consistency.core.events import Observer, StoreCalled
from consistency.core.model import Revision
from consistency.core.store import Unavailable
from consistency.etcd.calls import Calls, EtcdNode, metadata_for, snake_case
from consistency.etcd.errors import Failed
from consistency.etcd.transactions import Layout, range_end, watch_request
from consistency.etcd.watch import EtcdWatch


class Watches:
    """See `consistency.core.store.Store` for what this promises."""

    _layout: Layout
    _nodes: tuple[EtcdNode, ...]
    _calls: Calls[Any]
    _clock: Callable[[], float]
    _observer: Observer

    async def watch(self, version_from: Revision, members_from: Revision, *, timeout: float) -> EtcdWatch:
        """See Store.watch. One that starts before a compaction ends with Compacted when it is iterated.

        A cheap read goes before it: it finds an endpoint that answers, and a watch can't tell a refused token from a
        missing permission. An endpoint that answers reads may still refuse streams, as a proxy does: then another is
        asked.
        """
        versions = watch_request(self._layout.version, b"", version_from)
        members = watch_request(self._layout.members, range_end(self._layout.members), members_from)
        return await self._watch((versions, members), timeout)

    async def _watch_versions(self, version_from: Revision, timeout: float) -> EtcdWatch:
        return await self._watch((watch_request(self._layout.version, b"", version_from),), timeout)

    async def _watch(self, requests: Sequence[Any], timeout: float) -> EtcdWatch:
        deadline, said, asked = self._clock() + timeout, "", 0
        async for node in self._calls.answering(timeout):
            left = (deadline - self._clock()) / (len(self._nodes) - asked)
            asked += 1
            try:
                return await self._open_watch(node, requests, left)
            except Failed as failed:
                if not failed.diagnosis.may_be_better_elsewhere:
                    raise failed.error(f"watch {said}at {node.name}", write=False) from failed
                self._calls.stream_failed(node, failed)
                said += f"at {node.name}: {failed.diagnosis.finding}; "
        raise Unavailable(f"no etcd endpoint opened a watch: {said.removesuffix('; ')}")

    async def _open_watch(self, node: EtcdNode, requests: Sequence[Any], timeout: float) -> EtcdWatch:
        started, outcome = self._clock(), "ok"
        try:
            token = await self._calls.token(node, timeout)
            stream = EtcdWatch(node.stream("watch", metadata=metadata_for(token)), self._layout, node.name, self._clock)
            await stream.begin(requests, timeout)
        except Failed as failed:
            outcome = snake_case(failed.diagnosis.meaning(write=False))
            raise
        finally:
            self._observer(StoreCalled("watch", outcome, self._clock() - started))
        return stream
