"""The calls of the service as values: method, path, query, headers, body. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from config_client.core.answers import error_of
from config_client.errors import Rejected


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `what` names it in messages."""

    method: str
    path: str
    what: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method in ("PUT", "POST", "DELETE")

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """What came. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def checked(self, request: Request) -> Answer:
        """Return itself. Raises what stands for an error of the service."""
        if 200 <= self.status < 300:
            return self
        raise error_of(self.status, self.headers, self.body, request.what, writes=request.writes)

    @property
    def revision(self) -> int:
        """As of which revision it holds."""
        return int(self.headers.get("x-config-revision", "0"))


@dataclass(frozen=True, slots=True)
class PutOperation:
    """Part of a batch: `value` is JSON text.

    if_match: the mod_revision that the document must bear; 0: there must be none.
    """

    key: str
    value: bytes
    if_match: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteOperation:
    """Part of a batch. if_match: the mod_revision that the document must bear."""

    key: str
    if_match: int | None = None


Operation = PutOperation | DeleteOperation


def path_of(key: str, room: str = "/config/") -> str:
    """Return the path of a document. Raises Rejected for a key that would name another path, or none.

    1. `a/../b` is in the path; 2. an HTTP library or a proxy makes `b` of it, as RFC 3986 says; 3. `b` is overwritten.
    So such a key is never sent, though the service would refuse it.
    """
    segments = key.split("/")
    if key == "" or "." in segments or ".." in segments:
        raise Rejected(f"{key!r} is no key: it has a name between its slashes, never '.' or '..'", kind="invalid-key")
    try:
        return room + quote(key, safe="/")
    except UnicodeEncodeError as error:
        raise Rejected(f"{key!r} is no key: it is not Unicode", kind="invalid-key") from error


def get(key: str, *, linearizable: bool = False, revision: int | None = None, min_revision: int = 0) -> Request:
    """Read a document; revision: as it was then."""
    query = []
    if revision is not None:
        query = [("revision", str(revision))]
    elif linearizable:
        query = [("consistency", "linearizable")]
    if revision is None and min_revision:
        query.append(("min_revision", str(min_revision)))
    return Request("GET", path_of(key), f"GET {key}", query)


def put(key: str, value: bytes, *, if_match: int | None, sync: bool, reason: str | None) -> Request:
    """Create or replace a document. if_match: its mod_revision; 0: there must be none."""
    return Request("PUT", path_of(key), f"PUT {key}", _sync(sync), _guard(if_match, reason), value)


def delete(key: str, *, if_match: int | None, sync: bool, reason: str | None) -> Request:
    """Delete a document."""
    return Request("DELETE", path_of(key), f"DELETE {key}", _sync(sync), _guard(if_match, reason))


def batch(operations: Sequence[Operation], *, sync: bool, reason: str | None) -> Request:
    """Several at once, all or nothing. Values go byte for byte as they are, so the body is written by hand."""
    body = b'{"operations": [' + b", ".join(map(_operation, operations)) + b"]}"
    headers = {"content-type": "application/json", **_guard(None, reason)}
    return Request("POST", "/config/", f"POST of {len(operations)} operations", _sync(sync), headers, body)


def history(key: str, before: int | None, limit: int) -> Request:
    """A page of changes of a document, the newest first."""
    query = [("limit", str(limit))] if before is None else [("limit", str(limit)), ("before", str(before))]
    return Request("GET", path_of(key, "/history/"), f"history of {key}", query)


def rollback(prefix: str, revision: int, *, dry_run: bool, in_steps: bool, reason: str | None) -> Request:
    """Have all documents that begin with a prefix as they were; dry_run: only say how."""
    order = {"prefix": prefix, "revision": revision, "dry_run": dry_run, "in_steps": in_steps}
    headers = {"content-type": "application/json", **_guard(None, reason)}
    what = f"rollback of {prefix!r} to {revision}"
    return Request("POST", "/rollback", what, (), headers, json.dumps(order).encode())


def listing(prefix: str, after: str | None, limit: int = 1000) -> Request:
    """A page of keys."""
    query = [("prefix", prefix), ("limit", str(limit))]
    return Request("GET", "/config/", f"list of {prefix!r}", query if after is None else [*query, ("after", after)])


def changes(prefix: str, after: str, *, wait: int = 0) -> Request:
    """A page of changes as JSON; of a snapshot, if `after` is empty. wait: seconds for the first change."""
    query = [("prefix", prefix), ("values", "true"), ("wait", str(wait))]
    return Request("GET", "/changes", f"snapshot of {prefix!r}", [*query, ("after", after)] if after else query)


def stream(prefix: str, after: str) -> Request:
    """Changes as events, without an end."""
    query = [("prefix", prefix), ("values", "true")]
    headers = {"accept": "text/event-stream", "accept-encoding": "identity", "cache-control": "no-store"}
    return Request("GET", "/changes", "changes", [*query, ("after", after)] if after else query, headers)


def policy() -> Request:
    """Read the policy."""
    return Request("GET", "/policy", "GET /policy")


def put_policy(text: bytes, *, if_match: int, reason: str | None) -> Request:
    """Replace the policy that has this mod_revision; 0: there must be none."""
    headers = {"content-type": "application/json", **_guard(if_match, reason)}
    return Request("PUT", "/policy", "PUT /policy", (), headers, text)


def try_policy(text: bytes, after: str | None) -> Request:
    """A page of what a policy would refuse of what is stored."""
    query = [("dry_run", "true"), *([] if after is None else [("after", after)])]
    return Request("PUT", "/policy", "dry run of a policy", query, {"content-type": "application/json"}, text)


def plain(path: str) -> Request:
    """What the service tells of itself."""
    return Request("GET", path, f"GET {path}")


def _sync(sync: bool) -> list[tuple[str, str]]:
    return [("sync", "true")] if sync else []


def _guard(if_match: int | None, reason: str | None) -> dict[str, str]:
    headers = {} if reason is None else {"x-change-reason": quote(reason, safe=" !#$&'()*+,/:;=?@[]")}
    if if_match is None:
        return headers
    return {**headers, "if-none-match": "*"} if if_match == 0 else {**headers, "if-match": f'"{if_match}"'}


def _operation(operation: Operation) -> bytes:
    fields = {"op": "put" if isinstance(operation, PutOperation) else "delete", "key": operation.key}
    if operation.if_match == 0 and isinstance(operation, PutOperation):
        fields["if_none_match"] = "*"
    elif operation.if_match is not None:
        fields["if_match"] = str(operation.if_match)
    text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return text if isinstance(operation, DeleteOperation) else text[:-1] + b', "value": ' + operation.value + b"}"
