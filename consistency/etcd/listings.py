"""Reads that are not from memory, ever: listings and the past.

A part of `store`, which has the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.model import Document, Revision
from consistency.core.store import Page, Past, PastVersions, Scan, TooLarge
from consistency.etcd import readings
from consistency.etcd.calls import Call, Calls
from consistency.etcd.past import PastReads, then
from consistency.etcd.transactions import Layout, header_of


class Listings:
    """See `consistency.core.store.Store` for what each of these promises."""

    _layout: Layout
    _calls: Calls[Any]
    _clock: Callable[[], float]
    _past: PastReads

    async def past(self, key: str, revision: Revision, *, timeout: float) -> Past:
        """See Store.past. Raises ValueError for a revision below 1."""
        request = pb.RangeRequest(key=self._layout.document(key), revision=then(revision))
        answer = await self._calls.ask(Call("past", "range", request), timeout)
        return Past(header_of(answer), readings.found(answer).document)

    async def values(
        self, keys: Sequence[str], at: Revision, *, names_only: bool = False, timeout: float
    ) -> tuple[Document | None, ...]:
        """See Store.values. Raises ValueError over MAX_WANTS, or for a revision below 1."""
        return await self._past.values(keys, at, names_only, timeout)

    async def scan(
        self, prefix: str, *, after: str | bytes, limit: int, at: Revision, names_only: bool = False, timeout: float
    ) -> Scan:
        """See Store.scan. Raises ValueError for a revision below 1."""
        return await self._past.scan(prefix, after, limit, at, names_only, timeout)

    async def versions(self, after: Revision, until: Revision, *, most: int, timeout: float) -> PastVersions:
        """See Store.versions."""
        return await self._past.versions(after, until, most, timeout)

    async def page(self, prefix: str, *, after: str | bytes, limit: int, timeout: float) -> Page:
        """See Store.page. Moves no values. Other tools' keys may have up to a megabyte each."""
        deadline = self._clock() + timeout
        first, end = self._layout.listing(prefix, after)
        while True:
            request = pb.RangeRequest(key=first, range_end=end, limit=limit + 1, keys_only=True)
            try:
                answer = await self._calls.ask(Call("page", "range", request), deadline - self._clock())
                break
            except TooLarge:
                if limit == 1:
                    raise
                limit //= 2
        listed = readings.listed(self._layout, answer.kvs[:limit])
        return Page(header_of(answer), listed, more=len(answer.kvs) > limit)
