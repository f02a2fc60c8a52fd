"""The calls of the service, one by one, blocking: for what is not read from memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from config_client.connection import Connection, answer_of, failure_of, headers_of
from config_client.core import requests
from config_client.core.calls import Attempt, Failure, call
from config_client.core.model import Document, View
from config_client.core.pages import Page, page_of, view_of
from config_client.core.requests import Answer, Operation, Request
from config_client.errors import Rejected


@dataclass(frozen=True, slots=True)
class Written:
    """A write that was done, at `revision`. existed: for each operation, whether there was such a key before."""

    revision: int
    existed: tuple[bool, ...]


class Service:
    """Calls of any thread; several addresses are tried one after the other, the one that worked last first.

    All raise Unavailable, Denied, Rejected, ConfigError; writes OutcomeUnknown, too.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._http = httpx.Client(**connection.http_options(read=connection.answer_within))
        self._lock = threading.Lock()  # protects the next
        self._preferred = 0
        self.seen = 0  # the highest revision that an answer has told

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def get(self, key: str, *, linearizable: bool = False, revision: int | None = None) -> Document:
        """Read a document; never an older one than this object has seen or written. Raises NoSuchKey, Gone."""
        request = requests.get(key, linearizable=linearizable, revision=revision, min_revision=self.seen)
        answer = self.send(request)
        return Document(key, answer.body, int(answer.headers["etag"].strip('"')))

    def put(
        self, key: str, value: bytes, *, if_match: int | None = None, sync: bool = False, reason: str | None = None
    ) -> Written:
        """Create or replace a document: JSON text. if_match: its mod_revision; 0: there must be none.

        sync: return when no instance serves the old one. Raises PreconditionFailed.
        """
        answer = self.send(requests.put(key, value, if_match=if_match, sync=sync, reason=reason))
        return Written(answer.revision, (answer.status == 200,))

    def delete(
        self, key: str, *, if_match: int | None = None, sync: bool = False, reason: str | None = None
    ) -> Written:
        """Delete a document, if there is one. Raises PreconditionFailed."""
        return Written(self.send(requests.delete(key, if_match=if_match, sync=sync, reason=reason)).revision, ())

    def batch(self, operations: Sequence[Operation], *, sync: bool = False, reason: str | None = None) -> Written:
        """Do up to 100 operations, all or nothing. Raises PreconditionFailed, whose `index` says which."""
        data = json.loads(self.send(requests.batch(operations, sync=sync, reason=reason)).body)
        return Written(data["revision"], tuple(each["existed"] for each in data["results"]))

    def history(self, key: str, most: int = 20) -> list[dict[str, Any]]:
        """Return up to `most` changes of a document, the newest first: revision, op, at, by, why, size, kept."""
        found: list[dict[str, Any]] = []
        before: int | None = None
        while len(found) < most:
            page = json.loads(self.send(requests.history(key, before, min(100, most - len(found)))).body)
            found += page["changes"]
            if not page["more"]:
                break
            before = found[-1]["revision"]
        return found

    def rollback(
        self, prefix: str, revision: int, *, dry_run: bool = False, in_steps: bool = False, reason: str | None = None
    ) -> Any:
        """Have all documents that begin with `prefix` as they were at a revision, over what is there now.

        One write, all or nothing; in_steps: several, if one would be too large. dry_run: return the plan, and do
        nothing. Raises PreconditionFailed, and Rejected (too large, or it can't be told what was there).
        """
        request = requests.rollback(prefix, revision, dry_run=dry_run, in_steps=in_steps, reason=reason)
        return json.loads(self.send(request).body)

    def keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield keys and their mod_revisions, in the order of their bytes; pages may be of different revisions."""
        after: str | None = None
        while True:
            page = json.loads(self.send(requests.listing(prefix, after)).body)
            yield from ((each["key"], each["mod_revision"]) for each in page["keys"])
            after = page["next"]
            if not page["more"]:
                return

    def snapshot(self, prefix: str) -> View:
        """Return all documents beneath a prefix at one revision, with whatever was written before this was called."""
        newest = self.send(requests.listing(prefix, None, limit=1)).revision  # lists are linearizable

        def ask(after: str) -> Page:
            return page_of(self.send(requests.changes(prefix, after, wait=1 if after else 0)).body)

        return view_of(ask, newest)

    def policy(self) -> Document | None:
        """Return the policy of the fleet, under the key "policy"; None if there is none."""
        try:
            answer = self.send(requests.policy())
        except Rejected as error:
            if error.kind == "no-policy":
                return None
            raise
        return Document("policy", answer.body, int(answer.headers["etag"].strip('"')))

    def put_policy(self, text: bytes, *, if_match: int, reason: str | None = None) -> Written:
        """Replace the policy that has this mod_revision; 0: there must be none.

        Raises PolicyViolation, whose `faults` say what is wrong with it, and PreconditionFailed.
        """
        answer = self.send(requests.put_policy(text, if_match=if_match, reason=reason))
        return Written(answer.revision, (answer.status == 200,))

    def try_policy(self, text: bytes) -> Iterator[dict[str, Any]]:
        """Yield each document that a policy would refuse: key, mod_revision, prefix, errors. Raises PolicyViolation."""
        after: str | None = None
        while True:
            page = json.loads(self.send(requests.try_policy(text, after)).body)
            yield from page["refused"]
            after = page["next"]
            if not page["more"]:
                return

    def tell(self, path: str) -> Any:
        """Return what the service tells of itself as JSON: /members, /members/states, /readyz."""
        return json.loads(self.send(requests.plain(path)).body)

    def send(self, request: Request) -> Answer:
        """Send a request, as `core.calls` says. Raises what stands for an error."""
        urls = self.connection.urls
        first = self._preferred
        running = call(request, [*urls[first:], *urls[:first]], self.connection.read_token)
        attempt = next(running)
        try:
            while True:
                attempt = running.send(self._try(attempt))
        except StopIteration as end:
            answer: Answer = end.value
        with self._lock:
            self._preferred = urls.index(attempt.url)
            self.seen = self.seen if answer.status != 410 else 0
            self.seen = max(self.seen, answer.revision)
        return answer.checked(request)

    def _try(self, attempt: Attempt) -> Answer | Failure:
        request = attempt.request
        try:
            response = self._http.request(
                request.method, attempt.url + request.target, headers=headers_of(attempt), content=request.body
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return failure_of(error)
        return answer_of(response)
