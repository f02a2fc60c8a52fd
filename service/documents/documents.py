"""Documents over HTTP: from a request's environment to the answer. The loop's front and Flask's routes both go here.

Everything is refused that can be before the cache is asked, and the body is received last of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus

from consistency import AsyncDistributedCache
from consistency.core.model import (
    MustBeAbsent,
    MustBeAt,
    Policy,
    Precondition,
    PreconditionFailed,
    Reading,
    Revision,
    WrongTimeline,
)
from consistency.core.store import Change, Delete, Put, Scan, StoreError
from consistency.instance.writes import Approve
from consistency.tasks import Budget
from service import json_text
from service.auth import access
from service.auth.tokens import Scope
from service.documents import batches
from service.documents.listings import listing_in_slices, page_of, values_of
from service.http import parameters
from service.http.answers import (
    UNCONDITIONAL,
    UNKNOWN_SESSION,
    Answer,
    AnyOf,
    ReadCondition,
    answer_batch,
    answer_delete,
    answer_page,
    answer_put,
    answer_reading,
    forget_session,
    read_condition,
    seen_in,
    write_condition,
)
from service.http.door import KEYS
from service.http.parameters import AtRevision, ListParameters
from service.http.problems import Refused, bad_request, problem_for, refused
from service.http.requests import Body, BodyReader, Environ, author_of, conditions_in, key_from_path, reason_in
from service.policy.enforcement import Enforcement
from service.turns import in_turns

_read_parameters = lru_cache(maxsize=256)(parameters.read_parameters)  # few ways to ask; what is refused isn't kept
_write_parameters = lru_cache(maxsize=16)(parameters.write_parameters)

_NONE = (None, None)
"""No condition."""

PAGE_WAITS = 5.0
"""Seconds for those who asked for a page of documents before."""


class Documents:
    """Reads and writes of documents over one cache; belongs to its loop.

    prefix_of: with what the keys start that a request may be about. left_out: is told how many keys a listing can't
    show. Each method raises Refused, PreconditionFailed, and what the cache raises.
    """

    def __init__(
        self,
        cache: AsyncDistributedCache,
        reader: BodyReader,
        prefix_of: Callable[[Environ], str],
        left_out: Callable[[int], None],
        enforcement: Enforcement,
    ) -> None:
        self._cache = cache
        self._reader = reader
        self._prefix_of = prefix_of
        self._left_out = left_out
        self._enforcement = enforcement
        self._page_of_documents = Budget(1)

    async def read(self, environ: Environ) -> Answer:
        """Return 200, 304 or 404 for one document."""
        return answer_reading(*await self.reading(environ))

    async def reading(self, environ: Environ) -> tuple[str, Reading, ReadCondition]:
        """Return what `read` answers: the key, what was found, and the condition that it is held against."""
        key = key_from_path(environ["PATH_INFO"])
        asked = _read_parameters(environ.get("QUERY_STRING", ""))
        given = conditions_in(environ)
        condition = UNCONDITIONAL if given == _NONE else read_condition(*given)
        if isinstance(asked, AtRevision):
            return key, await self._cache.get_at(key, asked.revision), condition
        cookies = environ.get("HTTP_COOKIE")
        seen = 0 if cookies is None else await self._seen(cookies)
        try:
            reading = await self._cache.get(
                key,
                asked.use_cache,
                linearizable=asked.linearizable,
                min_revision=max(asked.min_revision, seen),
                stale_if_error=asked.stale_if_error,
                session_unknown=seen == UNKNOWN_SESSION,
            )
        except WrongTimeline as wrong:
            if seen <= wrong.current:
                raise  # a parameter is to blame: a good session is left alone
            problem = problem_for(wrong)
            ended = (*problem.headers, forget_session(self._cache.known_fleet_id))
            raise Refused(replace(problem, headers=ended)) from wrong
        return key, reading, condition

    async def put(self, environ: Environ, body: Body) -> Answer:
        """Store one document; return 200 or 201."""
        key, sync, condition = _write_asked(environ)
        author = author_of(environ)
        async with self._reader.reading(environ, body) as document:
            await self._reader.checked(document, json_text.scan(document))
            fleet = await self._cache.fleet_id()  # before anything is written: an answer without it loses the session
            precondition = await self._settle(condition, key)
            approve = self._approval((Put(key, document),), author.why)
            written = await self._cache.put(
                key, document, precondition=precondition, sync=sync, approve=approve, author=author
            )
            return answer_put(key, document, written, fleet)

    async def delete(self, environ: Environ) -> Answer:
        """Remove one document; return 204."""
        key, sync, condition = _write_asked(environ)
        if isinstance(condition, MustBeAbsent):
            raise bad_request("invalid-condition", "If-None-Match: * allows a DELETE only of what does not exist.")
        author = author_of(environ)
        fleet = await self._cache.fleet_id()
        precondition = await self._settle(condition, key)
        approve = self._approval((Delete(key),), author.why)
        deleted = await self._cache.delete(key, precondition=precondition, sync=sync, approve=approve, author=author)
        return answer_delete(deleted, fleet)

    async def batch(self, environ: Environ, body: Body) -> Answer:
        """Do all of several changes, or none; return 200."""
        sync, prefix = _batch_asked(environ), self._prefix_of(environ)
        author = author_of(environ)
        async with self._reader.reading(environ, body) as operations:
            changes = await self._reader.checked(operations, batches.changes_in(operations))
            environ[KEYS] = [change.key for change in changes]  # for its line in the log
            for change in changes:
                access.check_key(change.key, prefix, Scope.WRITE)
            try:
                fleet = await self._cache.fleet_id()
                approve = self._approval(changes, author.why, batch=True)
                applied = await self._cache.apply(changes, sync=sync, approve=approve, author=author)
                return answer_batch(changes, applied, fleet)
            except PreconditionFailed as failed:
                raise batches.refused_by(failed, changes) from failed

    async def page(self, environ: Environ) -> Answer:
        """Return 200 with a page of keys."""
        asked = parameters.list_parameters(environ.get("QUERY_STRING", ""))
        # One prefix within the other is one range: a page is full, and ends, as if there were no other keys.
        prefix = access.narrowed(asked.prefix, self._prefix_of(environ))
        if asked.values:
            return await self._documents_of(asked, prefix)
        if asked.revision is not None:
            page = page_of(await self._scan(asked, prefix))
        else:
            page = await self._cache.page(prefix, after=asked.after, limit=asked.limit)
        found = await in_turns(listing_in_slices(page))
        self._left_out(found.left_out)
        return await in_turns(answer_page(found))

    async def _documents_of(self, asked: ListParameters, prefix: str) -> Answer:
        """A page with documents: one at a time. etcd may send four times as much as is told, and gRPC holds it twice,
        so that a few together would take more than all large answers may.
        """
        async with self._page_of_documents.lent(1, PAGE_WAITS) as free:
            if not free:
                detail = "Too many pages of documents are being read."
                raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-requests", detail, retry_after=1)
            scan = await self._scan(asked, prefix)
            found = await in_turns(listing_in_slices(page_of(scan)))
            self._left_out(found.left_out)
            return await in_turns(answer_page(found, values_of(scan)))

    async def _scan(self, asked: ListParameters, prefix: str) -> Scan:
        return await self._cache.scan(
            prefix, after=asked.after, limit=asked.limit, revision=asked.revision, values=asked.values
        )

    def expected_body(self, environ: Environ) -> int:
        """Return the bytes of the body that `put` or `batch` would receive. Raises Refused for what either refuses."""
        if environ["PATH_INFO"] in access.COLLECTION:
            _batch_asked(environ)
        else:
            _write_asked(environ)
        reason_in(environ)
        return self._reader.length_of(environ)

    async def _seen(self, cookies: str) -> Revision:
        """What the session says that this client has seen."""
        seen = seen_in(cookies, self._cache.known_fleet_id)
        if seen == UNKNOWN_SESSION and not self._cache.known_fleet_id:
            with suppress(StoreError):  # nothing is in memory yet: a session that stays unknown costs nothing more
                seen = seen_in(cookies, await self._cache.fleet_id())
        return seen

    def _approval(self, changes: Sequence[Change], reason: str, *, batch: bool = False) -> Approve:
        """Return what the cache asks about a write, under each policy that its transaction might compare (rule 15)."""

        async def approve(policy: Policy) -> None:
            if policy.text is not None:  # most fleets have none
                await self._enforcement.check(changes, reason, policy, batch=batch)

        return approve

    async def _settle(self, condition: Precondition | AnyOf | None, key: str) -> Precondition | None:
        """One comparison for etcd's transaction. Several tags: the one that is current, read from etcd just now.

        Should the key change in between, the transaction refuses, as it would have done a moment later.
        Raises PreconditionFailed when none is current.
        """
        if not isinstance(condition, AnyOf):
            return condition
        current = (await self._cache.get(key, use_cache=False)).mod_revision
        if current not in condition.revisions:
            raise PreconditionFailed(key, current)
        return MustBeAt(current)


def _write_asked(environ: Environ) -> tuple[str, bool, Precondition | AnyOf | None]:
    """Key, whether the write is synchronous, condition. Raises Refused (400)."""
    key = key_from_path(environ["PATH_INFO"])
    sync = _write_parameters(environ.get("QUERY_STRING", ""))
    given = conditions_in(environ)
    return key, sync, None if given == _NONE else write_condition(*given)


def _batch_asked(environ: Environ) -> bool:
    """Whether the batch is synchronous. Raises Refused (400)."""
    if conditions_in(environ) != _NONE:
        raise bad_request("invalid-condition", "The conditions of a batch are those of its operations, not headers.")
    return _write_parameters(environ.get("QUERY_STRING", ""))
