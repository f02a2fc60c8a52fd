"""Whether a write keeps to the policy, asked with the very policy that its transaction compares (rule 15).

Owns the answer, and what has been read of the last policies. A policy that can't be read was put by another tool than
this service: then nothing is written until it is replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from consistency.core.model import Policy
from consistency.core.store import Change, Put
from service.http.problems import NOT_DONE, Kind, Problem, Refused, refused
from service.json_text import NotJson
from service.policy.faults import MOST_TOLD, Fault, Faults
from service.policy.reading import Invalid, rules_in
from service.policy.rules import NO_RULES, Rules, Schema, reason_missing
from service.policy.schemas import Schemas, TakesTooMuch
from service.turns import in_turns

KEPT = 4
"""Policies of which it is known what they say: the one in force, and those before that somebody still goes by."""

BREAKS = Kind(
    "policy-violation",
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "The policy wants the document otherwise; not done",
    NOT_DONE,
)
NEEDS_REASON = Kind(
    "reason-required", HTTPStatus.PRECONDITION_REQUIRED, "The policy wants a reason for this change; not done", NOT_DONE
)


class Enforcement:
    """Over the schemas of an instance. Belongs to one loop.

    in_force: reads the policy in force, linearizably. refused: is told why a write was refused.
    """

    def __init__(
        self, schemas: Schemas, in_force: Callable[[], Awaitable[Policy]], refused: Callable[[str], None]
    ) -> None:
        self.schemas = schemas
        self._in_force = in_force
        self._refused = refused
        self._read: dict[bytes, Rules] = {}

    async def check(self, changes: Sequence[Change], reason: str, policy: Policy, *, batch: bool = False) -> None:
        """Agree to these changes under a policy, by returning. Raises Refused: 428 without a reason that is asked for,
        422 for a document that breaks the schema which counts for its key, 503 if that can't be found out.

        reason: that was given for them, else "". batch: a fault is told with the index of its operation.

        1. A policy is replaced. 2. Its author writes at once, at an instance that has not heard of it yet. 3. That
        instance must not refuse by the old policy. So it agrees, the write finds the new policy in force, and this is
        asked anew.
        """
        try:
            await self._hold_against(policy, changes, reason, batch=batch)
        except Refused:
            current = await self._in_force()
            if current.mod_revision == policy.mod_revision:
                raise
            await self._hold_against(current, changes, reason, batch=batch)

    async def rules(self, text: bytes) -> Rules:
        """What a policy asks for. Raises Refused (503) for one that can't be read."""
        found = self._read.get(text)
        if found is None:
            try:
                found = await in_turns(rules_in(text))
            except (Invalid, NotJson) as error:
                detail = f"The policy of the fleet can't be read, so nothing is written until it is replaced: {error}"
                raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "policy-unusable", detail, retry_after=10) from None
            self._read[text] = found
            while len(self._read) > KEPT:
                del self._read[next(iter(self._read))]
        return found

    async def known(self, text: bytes) -> Rules:
        """The same; none of one that can't be read."""
        with contextlib.suppress(Refused):
            return await self.rules(text)
        return NO_RULES

    async def _hold_against(self, policy: Policy, changes: Sequence[Change], reason: str, *, batch: bool) -> None:
        rules = NO_RULES if policy.text is None else await self.rules(policy.text)
        if rules is NO_RULES:
            return
        if (key := reason_missing(rules, (change.key for change in changes), reason)) is not None:
            self._refused("reason")
            detail = f"A change of {key!r} needs a header X-Change-Reason, which says why."
            raise Refused(Problem(NEEDS_REASON, detail, extensions=(("key", key),)))
        listed: list[dict[str, object]] = []
        more = False
        for index, change in enumerate(changes):
            schema = rules.schema_for(change.key) if isinstance(change, Put) else None
            if schema is None or not isinstance(change, Put):
                continue
            faults = await self.held(schema, change.value)
            place: dict[str, object] = {"index": index} if batch else {}
            listed += [{**place, **told(change.key, schema, fault)} for fault in faults.listed]
            more = more or faults.more or len(listed) > MOST_TOLD
            if more:
                break
        if listed:
            self._refused("schema")
            raise _broken(listed[:MOST_TOLD], more=more)

    async def held(self, schema: Schema, document: bytes) -> Faults:
        """What of a document is not as a schema wants it. Raises Refused (503)."""
        try:
            return await self.schemas.hold(schema, document)
        except TakesTooMuch as much:
            return Faults((too_much(much),))


def too_much(much: TakesTooMuch) -> Fault:
    """What is said of a document that can't be checked within the bounds."""
    return Fault("", f"a document that the schema can be held against; {much}")


def told(key: str, schema: Schema, fault: Fault) -> dict[str, object]:
    """A fault, for programs."""
    return {"key": key, "pointer": fault.pointer, "expected": fault.expected, "prefix": schema.prefix}


def _broken(listed: Sequence[dict[str, object]], *, more: bool) -> Refused:
    first = listed[0]
    others = f", and {len(listed) - 1}{' or more' * more} further" if len(listed) > 1 else ""
    detail = (
        f"{first['key']!r} breaks the schema for keys that start with {first['prefix']!r} at "
        f"{first['pointer'] or '(all of it)'}: expected {first['expected']}{others}."
    )
    return Refused(Problem(BREAKS, detail, extensions=(("errors", listed), ("more", more))))
