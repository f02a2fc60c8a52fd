"""`/policy` over HTTP: what is in force, another one in its place, and what that would refuse. Belongs to a loop.

A policy with anything wrong in it is never put in force. A client can replace only the policy that it has read: it is
refused if it sends neither If-Match nor If-None-Match.
"""

from __future__ import annotations

from http import HTTPStatus

from consistency import AsyncDistributedCache
from consistency.core.model import MustBeAbsent, MustBeAt, Precondition, PreconditionFailed, Revision, holds
from service.http.answers import (
    JSON_TYPE,
    REVALIDATE,
    Answer,
    AnyOf,
    answer_json,
    answer_problem,
    etag_of,
    read_condition,
    write_condition,
    write_headers,
)
from service.http.parameters import PolicyParameters, no_parameters, policy_parameters
from service.http.problems import NOT_DONE, Headers, Kind, Problem, Refused, refused
from service.http.requests import Body, BodyReader, Environ, author_of, conditions_in
from service.http.security_headers import SECURITY_HEADERS
from service.policy.enforcement import Enforcement, too_much
from service.policy.faults import Fault, Faults, some_of, step
from service.policy.reading import MAX_BYTES, Invalid, rules_in
from service.policy.rules import Rules, Schema
from service.policy.schemas import Schemas, TakesTooMuch
from service.policy.trials import Trial, Trials

ABSENT = Kind("no-policy", HTTPStatus.NOT_FOUND, "The fleet has no policy", "")
INVALID = Kind("invalid-policy", HTTPStatus.UNPROCESSABLE_ENTITY, "This is no policy; not done", NOT_DONE)


class Policies:
    """What one instance answers at `/policy`. Each method raises Refused, PreconditionFailed, and what the cache
    raises."""

    def __init__(
        self, cache: AsyncDistributedCache, reader: BodyReader, schemas: Schemas, enforcement: Enforcement
    ) -> None:
        self._cache = cache
        self._reader = reader
        self._schemas = schemas
        self._trials = Trials(cache, enforcement)
        self._enforcement = enforcement

    async def get(self, environ: Environ) -> Answer:
        """Return 200 with the policy in force, 304 or 404. Linearizable."""
        no_parameters(environ.get("QUERY_STRING", ""))
        condition = read_condition(*conditions_in(environ))
        policy = await self._cache.read_policy()
        status = condition.status(policy.mod_revision)
        if status == HTTPStatus.PRECONDITION_FAILED:
            raise PreconditionFailed("policy", policy.mod_revision)
        if policy.text is None:
            return answer_problem(Problem(ABSENT, "None has been put yet: PUT /policy with If-None-Match: * does."))
        kept = ((REVALIDATE), ("ETag", etag_of(policy.mod_revision)), *SECURITY_HEADERS)
        if status == HTTPStatus.NOT_MODIFIED:
            return Answer(status, kept)
        return Answer(status, (("Content-Type", JSON_TYPE), *kept), policy.text)

    async def put(self, environ: Environ, body: Body) -> Answer:
        """Put another policy in force; return 200 or 201. With `dry_run`, 200 with what it would refuse."""
        asked, condition = _asked(environ)
        author = author_of(environ)
        async with self._reader.reading(environ, body) as text:
            rules = await self._checked(text)
            if asked.dry_run:
                if condition is not None:
                    await self._current(condition)
                return _answer_trial(await self._trials.page(rules, asked.after, asked.limit))
            await self._try_on_what_is_stored(rules)
            fleet = await self._cache.fleet_id()
            written = await self._cache.put_policy(text, if_match=await self._match(condition), author=author)
            headers = (("Content-Type", JSON_TYPE), ("ETag", etag_of(written.revision)))
            status = HTTPStatus.OK if written.existed else HTTPStatus.CREATED
            return Answer(status, (*headers, *write_headers(written, fleet), *SECURITY_HEADERS), text)

    def expected_body(self, environ: Environ) -> int:
        """Return the bytes of the body that `put` would receive. Raises Refused for what it refuses."""
        _asked(environ)
        length = self._reader.length_of(environ)
        if length > MAX_BYTES:
            detail = f"The policy has {length} bytes; at most {MAX_BYTES} are accepted."
            raise refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", detail)
        return length

    async def _checked(self, text: bytes) -> Rules:
        """What the policy says. Raises Refused: 400, and 422 with all that is wrong."""
        try:
            rules = await self._reader.checked(text, rules_in(text))
        except Invalid as invalid:
            raise _invalid(invalid.faults) from None
        found: list[Fault] = []
        more = False
        for schema in rules.schemas:
            faults = await self._wrong_with(schema)
            found += [fault.below(_place(schema)) for fault in faults.listed]
            more = more or faults.more
        if faults := some_of(found):
            raise _invalid(Faults(faults.listed, faults.more or more))
        return rules

    async def _wrong_with(self, schema: Schema) -> Faults:
        try:
            return await self._schemas.learn(schema)
        except TakesTooMuch as much:
            return Faults((Fault("", f"a schema that documents can be held against; {much}"),))

    async def _try_on_what_is_stored(self, rules: Rules) -> None:
        """Raises Refused (422) if a new schema can't be held against what is stored, within the bounds for each."""
        in_force = (await self._cache.read_policy()).text
        old: set[bytes] = set()
        if in_force is not None:
            with_old = await self._enforcement.known(in_force)
            old = {schema.digest for schema in with_old.schemas}
        new = tuple(schema for schema in rules.schemas if schema.digest not in old)
        for schema, key, much in await self._trials.endless(rules, new):
            raise _invalid(Faults((Fault(_place(schema), f"{too_much(much).expected}, such as that of {key!r}"),)))

    async def _match(self, condition: Precondition | AnyOf | None) -> Revision | None:
        """The mod_revision that is to be replaced, 0 for none; None: whatever it is. Raises PreconditionFailed."""
        match condition:
            case None:
                return None
            case MustBeAbsent():
                return 0
            case MustBeAt(revision):
                return revision
        return await self._current(condition)

    async def _current(self, condition: Precondition | AnyOf) -> Revision:
        """What is in force, if the condition holds for it. Raises PreconditionFailed."""
        current = (await self._cache.read_policy()).mod_revision
        fits = current in condition.revisions if isinstance(condition, AnyOf) else holds(condition, current)
        if not fits:
            raise PreconditionFailed("policy", current)
        return current


def _asked(environ: Environ) -> tuple[PolicyParameters, Precondition | AnyOf | None]:
    """Raises Refused (400, 428)."""
    asked = policy_parameters(environ.get("QUERY_STRING", ""))
    condition = write_condition(*conditions_in(environ))
    if condition is None and not asked.dry_run:
        detail = "Send If-Match with the ETag of the policy that this one replaces; If-None-Match: * if there is none."
        raise refused(HTTPStatus.PRECONDITION_REQUIRED, "condition-required", detail)
    return asked, condition


def _place(schema: Schema) -> str:
    return f"{step('schemas')}{step(schema.index)}{step('schema')}"


def _invalid(faults: Faults) -> Refused:
    listed = [{"pointer": fault.pointer, "expected": fault.expected} for fault in faults.listed]
    first = faults.listed[0]
    others = f", and {len(listed) - 1}{' or more' * faults.more} further" if len(listed) > 1 else ""
    detail = f"At {first.pointer or '(all of it)'}: expected {first.expected}{others}."
    return Refused(Problem(INVALID, detail, extensions=(("errors", listed), ("more", faults.more))))


def _answer_trial(trial: Trial) -> Answer:
    headers: Headers = (("X-Config-Revision", str(trial.revision)), ("Cache-Control", "no-store"))
    document = {
        "checked": trial.checked,
        "refused": trial.refused,
        "more": trial.following is not None,
        "next": trial.following,
        "revision": trial.revision,
    }
    return answer_json(document, headers=headers)
