"""`POST /rollback`: a prefix as it was at an earlier revision; as a plan, or done over what the plan has seen.

Never halfway without saying it: it is one atomic write, or, if the caller says so, one after the other, and then the
answer tells which were done. Belongs to the loop of the cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any

from consistency import AsyncDistributedCache, Author
from consistency.core.model import Document, PreconditionFailed, Revision
from consistency.core.rollbacks import MOST_AT_ONCE, Plan, Step, parts
from consistency.core.store import StoreError
from service import json_text
from service.auth import access
from service.auth.tokens import Scope
from service.documents import batches
from service.http.answers import NO_STORE, REVALIDATE, Answer, answer_encoded, answer_json, remember_session
from service.http.door import KEYS
from service.http.parameters import MAX_REVISION, no_parameters
from service.http.problems import TYPE_PREFIX, UNKNOWN, Kind, Refused, bad_request, problem_for, refused
from service.http.requests import Body, BodyReader, Environ, author_of, check_prefix, conditions_in
from service.json_encoding import encode, write_text
from service.policy.enforcement import Enforcement
from service.turns import in_turns

SHOWN = 1024 * 1024
"""Bytes of documents that a plan shows; of what is beyond that, the sizes."""

PARTLY = "partly done"
INCOMPLETE = Kind(
    "rollback-incomplete", HTTPStatus.CONFLICT, "Some of the steps were done, and then one was not", PARTLY
)

_MEMBERS = {"prefix": "a string", "revision": "an integer", "dry_run": "true or false", "in_steps": "true or false"}
"""What may be in the body, and what it has to be."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for. in_steps: several writes, if one would be too large."""

    prefix: str
    revision: Revision
    dry_run: bool
    in_steps: bool


class Rollbacks:
    """Over a cache that somebody else starts and closes. prefix_of, may: of the token that a request bears."""

    def __init__(
        self,
        cache: AsyncDistributedCache,
        reader: BodyReader,
        prefix_of: Callable[[Environ], str],
        may: Callable[[Environ, Scope], bool],
        enforcement: Enforcement,
    ) -> None:
        self._cache = cache
        self._reader = reader
        self._prefix_of = prefix_of
        self._may = may
        self._enforcement = enforcement

    def expected_body(self, environ: Environ) -> int:
        """Return the bytes of the body that `answer` would receive. Raises Refused."""
        return self._reader.length_of(environ)

    async def answer(self, environ: Environ, body: Body) -> Answer:
        """Return 200: the plan, or what was done. Raises Refused, PreconditionFailed, and the store's errors."""
        no_parameters(environ.get("QUERY_STRING", ""))
        if conditions_in(environ) != (None, None):
            raise bad_request("invalid-condition", "The conditions of a rollback are what its plan has seen.")
        author = author_of(environ)
        async with self._reader.reading(environ, body) as text:
            await self._reader.checked(text, json_text.scan(text))
            order = order_in(text)
        self._check_rights(environ, order.prefix)
        plan = await self._cache.plan(order.prefix, order.revision)
        if order.dry_run:
            return await in_turns(answer_plan(plan))
        environ[KEYS] = [step.key for step in plan.steps]  # for its line in the log
        some = list(parts(plan.steps))
        _check_feasible(plan, len(some), in_steps=order.in_steps)
        return await self._carry_out(plan, some, author)

    def _check_rights(self, environ: Environ, prefix: str) -> None:
        """The token's keys; and reading, since the plan tells what they have; of all keys there are, admin."""
        access.check_key(prefix, self._prefix_of(environ), Scope.WRITE)
        for needed in (Scope.READ, *((Scope.ADMIN,) if not prefix else ())):
            if not self._may(environ, needed):
                raise access.forbidden(needed, f"This rollback needs a token with the scope {needed}.")

    async def _carry_out(self, plan: Plan, some: Sequence[tuple[Step, ...]], author: Author) -> Answer:
        fleet = await self._cache.fleet_id()
        done: list[dict[str, Any]] = []
        revision = plan.seen
        for steps in some:
            changes = [step.change for step in steps]
            try:
                approve = partial(self._enforcement.check, changes, author.why, batch=True)
                revision = (await self._cache.apply(changes, author=author, approve=approve)).revision
            except (StoreError, PreconditionFailed, Refused) as error:
                if done:
                    return _incomplete(plan, done, error)
                if isinstance(error, PreconditionFailed):
                    raise batches.refused_by(error, changes) from error
                raise
            done.append({"revision": revision, "keys": [step.key for step in steps]})
        document = {"prefix": plan.prefix, "to": plan.revision, "revision": revision, "steps": done}
        document |= {"unchanged": plan.unchanged}
        headers = (("X-Config-Revision", str(revision)), REVALIDATE, remember_session(fleet, revision))
        return answer_json(document, headers=headers)


def order_in(text: bytes) -> Order:
    """What a body asks for, which is JSON. Raises Refused (400)."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise _refusal('it is an object such as {"prefix": "team/", "revision": 42, "dry_run": true}')
    for name, value in found.items():
        if name not in _MEMBERS:
            raise _refusal(f"{name[:60]!a} is unknown; known: {', '.join(_MEMBERS)}")
        if _kind(value) != _MEMBERS[name]:
            raise _refusal(f"{name} must be {_MEMBERS[name]}")
    for name in ("prefix", "revision"):
        if name not in found:
            raise _refusal(f"{name} is missing")
    if not 1 <= found["revision"] <= MAX_REVISION:
        raise _refusal("revision must be from 1 on")
    prefix = check_prefix(found["prefix"])
    return Order(prefix, int(found["revision"]), found.get("dry_run", False), found.get("in_steps", False))


def _kind(value: object) -> str:
    """In words. JSON Schema takes 42.0 for an integer, and so does this."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float() if value.is_integer():
            return "an integer"
    return "something else"


def _check_feasible(plan: Plan, writes: int, *, in_steps: bool) -> None:
    """Raises Refused (409), of which nothing was done."""
    if plan.unknowable:
        key, why = plan.unknowable[0]
        detail = f"Of {len(plan.unknowable)} keys it can't be told what they had, the first is {key!r}: {why}"
        raise refused(HTTPStatus.CONFLICT, "rollback-unknowable", detail)
    if writes > 1 and not in_steps:
        detail = (
            f"It changes {len(plan.steps)} keys, more than one atomic write takes: {MOST_AT_ONCE} keys and 1 MiB. "
            f"With in_steps it is done by {writes} of them, one after the other."
        )
        raise refused(HTTPStatus.CONFLICT, "rollback-too-large", detail)


def _incomplete(plan: Plan, done: Sequence[dict[str, Any]], error: Exception) -> Answer:
    """409: some of the steps were done, and this one was not, or nobody knows."""
    problem = problem_for(error)
    left = len(plan.steps) - sum(len(each["keys"]) for each in done)
    document = {
        "type": TYPE_PREFIX + INCOMPLETE.slug,
        "title": INCOMPLETE.title,
        "status": int(INCOMPLETE.status),
        "detail": f"{len(done)} steps were done; {left} keys are left. {problem.detail}",
        "outcome": PARTLY if problem.kind.outcome != UNKNOWN else UNKNOWN,
        "steps": list(done),
        "cause": problem.kind.slug,
    }
    answer = answer_json(document, HTTPStatus.CONFLICT, headers=(NO_STORE,))
    headers = tuple(
        ("Content-Type", "application/problem+json") if name == "Content-Type" else (name, value)
        for name, value in answer.headers
    )
    return Answer(answer.status, headers, answer.body)


def answer_plan(plan: Plan) -> Generator[None, None, Answer]:
    """Return a plan, which is encoded in slices: with 1,000 keys of 500 bytes and 1 MiB of documents it takes 9 ms."""
    left = SHOWN
    puts, deletes = BytesIO(), BytesIO()
    for step in plan.steps:
        left -= len(step.after or b"") + len(step.before.data if step.before else b"")
        into = deletes if step.after is None else puts
        into.write(b'%b{"key": %b, "before": ' % (b", " if into.tell() else b"", encode(step.key)))
        yield from _write_before(into, step.before, whole=left >= 0)
        if step.after is not None:
            into.write(b', "after": {')
            yield from _write_document(into, step.after, whole=left >= 0)
            into.write(b"}")
        into.write(b"}")
        yield
    unknowable = list[bytes]()
    for key, why in plan.unknowable:
        unknowable.append(encode({"key": key, "why": why}))
        yield
    about = {"prefix": plan.prefix, "to": plan.revision, "revision": plan.seen, "writes": len(list(parts(plan.steps)))}
    lists = b'"puts": [%b], "deletes": [%b]' % (puts.getvalue(), deletes.getvalue())
    yield
    rest = b'"unchanged": %d, "unknowable": [%b]' % (plan.unchanged, b", ".join(unknowable))
    line = b"{%b, %b, %b}\n" % (encode(about)[1:-1], lists, rest)
    yield
    return answer_encoded(line, headers=(("X-Config-Revision", str(plan.seen)), NO_STORE))


def _write_before(into: BytesIO, document: Document | None, *, whole: bool) -> Generator[None, None, None]:
    if document is None:
        into.write(b"null")
        return
    into.write(b'{"mod_revision": %d, ' % document.mod_revision)
    yield from _write_document(into, document.data, whole=whole)
    into.write(b"}")


def _write_document(into: BytesIO, data: bytes, *, whole: bool) -> Generator[None, None, None]:
    """The document as a string, so that it is the same byte for byte; or its size alone."""
    into.write(b'"size": %d' % len(data))
    if whole:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return
        into.write(b', "value": ')
        yield from write_text(into, text)


def _refusal(reason: str) -> Refused:
    return bad_request("invalid-rollback", f"The rollback can't be carried out: {reason}.")
