"""Holds what is stored against the schemas of a policy that is not in force yet. Changes nothing.

A page is bounded three ways: keys that are looked at, documents that are told, seconds. What is read is read one after
the other, each document linearizably: a page is not of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from consistency import AsyncDistributedCache
from consistency.core.model import Revision
from service.documents.listings import listing
from service.policy.enforcement import Enforcement
from service.policy.rules import Rules, Schema
from service.policy.schemas import TakesTooMuch

MOST_REFUSED = 100
"""Documents that one page tells."""

MOST_OF_ONE = 3
"""Faults of a document."""

SECONDS = 5.0
"""After which a page ends."""

LOOKED_AT = 100
"""Stored documents that a new schema is tried on when its policy is put."""


@dataclass
class Trial:
    """A page. checked: documents that a schema counts for. following: for `after`; None at the end."""

    revision: Revision
    checked: int = 0
    refused: list[dict[str, object]] = field(default_factory=list)
    following: str | None = None


class Trials:
    """Over the documents of one cache."""

    def __init__(self, cache: AsyncDistributedCache, enforcement: Enforcement) -> None:
        self._cache = cache
        self._enforcement = enforcement

    async def page(self, rules: Rules, after: str | bytes, limit: int) -> Trial:
        """What the schemas would refuse of up to `limit` keys. Raises Refused (503), Denied, Unavailable."""
        prefix = _in_common([schema.prefix for schema in rules.schemas])
        found = listing(await self._cache.page(prefix, after=after, limit=limit))
        trial = Trial(found.revision, following=found.following)
        if not rules.schemas:
            trial.following = None
            return trial
        end = asyncio.get_running_loop().time() + SECONDS
        for listed in found.keys:
            if (schema := rules.schema_for(listed.key)) is not None:
                await self._try(listed.key, schema, trial)
            if len(trial.refused) == MOST_REFUSED or asyncio.get_running_loop().time() > end:
                trial.following = listed.key if listed is not found.keys[-1] else found.following
                break
        return trial

    async def endless(self, rules: Rules, schemas: Sequence[Schema]) -> list[tuple[Schema, str, TakesTooMuch]]:
        """The first of these schemas that can't be held against what is stored, the key, and why; mostly none."""
        end = asyncio.get_running_loop().time() + SECONDS
        for schema in schemas:
            async for key, document in self._under(schema):
                if rules.schema_for(key) == schema:
                    try:
                        await self._enforcement.schemas.hold(schema, document)
                    except TakesTooMuch as much:
                        return [(schema, key, much)]
                if asyncio.get_running_loop().time() > end:
                    return []
        return []

    async def _under(self, schema: Schema) -> AsyncIterator[tuple[str, bytes]]:
        found = listing(await self._cache.page(schema.prefix, after="", limit=LOOKED_AT))
        for listed in found.keys:
            reading = await self._cache.get(listed.key, use_cache=False)
            if reading.value is not None:
                yield listed.key, reading.value

    async def _try(self, key: str, schema: Schema, trial: Trial) -> None:
        reading = await self._cache.get(key, use_cache=False)
        if reading.value is None:
            return
        trial.checked += 1
        faults = await self._enforcement.held(schema, reading.value)
        if faults:
            errors = [{"pointer": fault.pointer, "expected": fault.expected} for fault in faults.listed[:MOST_OF_ONE]]
            more = faults.more or len(faults.listed) > MOST_OF_ONE
            about = {"key": key, "mod_revision": reading.mod_revision, "prefix": schema.prefix}
            trial.refused.append({**about, "errors": errors, "more": more})


def _in_common(prefixes: Sequence[str]) -> str:
    """With what all of them begin."""
    first, last = min(prefixes, default=""), max(prefixes, default="")
    same = next((index for index, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:same]
