"""`GET /history/<key>`: who changed a key, when and why (rule 19); the newest first, in pages.

Tells no documents: `GET /config/<key>?revision=` does. Belongs to the loop of the cache.
"""

from __future__ import annotations

import datetime
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.records import OPS, Op, Record
from consistency.instance.recall import KeyHistory
from service.auth.access import document_path
from service.http.answers import NO_STORE, Answer, answer_json
from service.http.parameters import history_parameters
from service.http.requests import Environ, key_from_path


class Histories:
    """Over a cache that somebody else starts and closes."""

    def __init__(self, cache: AsyncDistributedCache) -> None:
        self._cache = cache

    async def answer(self, environ: Environ) -> Answer:
        """Return 200. Raises Refused, and the store's errors."""
        key = key_from_path(document_path(environ["PATH_INFO"]))
        asked = history_parameters(environ.get("QUERY_STRING", ""))
        found = await self._cache.history(key, before=asked.before, limit=asked.limit)
        revision = ("X-Config-Revision", str(found.revision))
        return answer_json(_shown(key, found), headers=(revision, NO_STORE))


def _shown(key: str, found: KeyHistory) -> dict[str, Any]:
    """exact_from: the first revision of which it can be told what the key had; null: of none, for ever."""
    exact_from = max(found.began, found.trimmed) if found.began else None
    return {
        "key": key,
        "revision": found.revision,
        "mod_revision": found.current,
        "exact_from": exact_from,
        "changes": [_change(record) for record in found.records],
        "more": found.more,
    }


def _change(record: Record) -> dict[str, Any]:
    shown: dict[str, Any] = {"revision": record.mod_revision, "op": OPS[record.op]}
    if record.at is not None:
        shown["at"] = datetime.datetime.fromtimestamp(record.at, datetime.UTC).isoformat(timespec="milliseconds")
    shown |= record.author.members()
    if record.op is Op.PUT:
        shown |= {"size": record.size, "kept": record.document is not None}
    return shown
