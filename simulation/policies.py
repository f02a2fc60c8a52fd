"""What the policies of a run demand, in words of their own, and who agrees to a write by them (rule 15).

    {"note": "0.3", "schemas": {"t/warm-2": "even"}, "reason_required": ["kept/"], "history": {"keep": 3}}

The words of the service's policies are the service's. Here a schema says how the number in a document ends; what
matters is that documents are held against it, which takes its time, under the policy that the write compares.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.model import Author, Policy

SCHEMAS = ("t/hot-1", "t/warm-2", "t/warm-3", "t/cold-1", "kept/", "kept/a")
REASONS = ("t/hot-2", "t/warm-4", "t/cold-2", "kept/b")
"""Prefixes that policies name."""

HISTORIES: tuple[dict[str, int], ...] = (
    {}, {}, {"keep": 3}, {"keep": 1}, {"keep": 0}, {"max_bytes": 40}, {"keep": 6, "max_bytes": 0}
)  # fmt: skip

LONG_REASON = 450
"""Characters: so many authors of that kind don't fit into one version."""

ALSO_GUARDED: tuple[tuple[str, ...], ...] = ((), ("t/hot-2",), ("t/warm-2", "kept/"), ("",))
"""Prefixes of keys that are guarded for a while."""

_NUMBER = re.compile(r'"\d+-(\d+)\.*"')


class Broken(Exception):
    """A write is not what the policy in force demands. Nothing was done."""


def text(note: str, random: Random, guarded: tuple[str, ...] = ()) -> bytes:
    """Another policy. note: tells it from every other. guarded: what all of them guard; then some guard more."""
    said: dict[str, Any] = {"note": note, "history": random.choice(HISTORIES)}
    said["schemas"] = {
        prefix: random.choice(("even", "odd")) for prefix in random.sample(SCHEMAS, random.choice((0, 1, 2)))
    }
    said["reason_required"] = random.sample(REASONS, random.choice((0, 0, 1)))
    if guarded:
        said["guarded"] = [*guarded, *random.choice(ALSO_GUARDED)]
    return json.dumps(said).encode()


def breach(policy: bytes | None, key: str, value: str | None, why: str) -> str:
    """What of a change is not as the policy demands; "": nothing. value: None for a deletion."""
    if policy is None:
        return ""
    try:
        said = json.loads(policy)
        schemas, reasons = said["schemas"].items(), said["reason_required"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the policy can't be read, so nothing may be written"
    if not why and key.startswith(tuple(reasons)):
        return f"{key} needs a reason"
    found = _NUMBER.fullmatch(value) if value is not None else None
    for prefix, ending in schemas:
        if value is not None and key.startswith(prefix) and (not found or int(found[1]) % 2 != (ending == "odd")):
            return f"{key}={value} should be {ending}"
    return ""


def reason(request: str, number: int) -> str:
    """What a client says of its write: often nothing, now and then a lot."""
    if number % 3 == 0:
        return ""
    said = f"because of {request}"
    return said + "." * (LONG_REASON - len(said)) if number % 17 == 1 else said


class Approval:
    """Agrees to one write, as the service does: what is refused is held against the policy in force first.

    Agrees under a policy that can't be read, too: nobody is to be asked that, since nothing is to be written under it.
    pause: virtual seconds that it takes to hold a document against a policy.
    """

    def __init__(
        self, cache: AsyncDistributedCache, changes: Mapping[str, str | None], author: Author, pause: float
    ) -> None:
        self._cache = cache
        self._changes = changes
        self._why = author.why
        self._pause = pause

    async def __call__(self, policy: Policy) -> None:
        """Raises Broken; what the cache raises."""
        if policy.text is None:
            return
        if self._pause:
            await asyncio.sleep(self._pause)
        if self._wrong(policy):
            current = await self._cache.read_policy()
            if wrong := self._wrong(current):
                raise Broken(wrong)

    def _wrong(self, policy: Policy) -> str:
        if policy.fault:
            return ""
        found = (breach(policy.text, key, value, self._why) for key, value in self._changes.items())
        return next((wrong for wrong in found if wrong), "")
