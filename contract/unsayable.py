"""What OpenAPI has no words for: requests that keep to every schema and are refused nonetheless, and the past.

Loaded by schemathesis, so that it does not take such an answer for a fault. The descriptions in openapi.yaml say each.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import use_after_free

MAX_KEY_BYTES = 512


@schemathesis.hook
def filter_case(_context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> bool:
    """Whether it is a request that the file can judge."""
    keys = _keys(case)
    refused = _asks_for_two_times(case) or _contradicts_itself(case) or _is_no_set_of_keys(keys)
    wanted = not refused and not _waits_for_long(case) and not _binds_all_that_follows(case)
    return wanted and all(map(_arrives_as_it_is, keys))


@schemathesis.check
def use_after_delete(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """What is deleted is gone. It stays in the past, which `revision` asks for, until etcd compacts that."""
    return None if "revision" in (case.query or {}) else use_after_free(context, response, case)


def _asks_for_two_times(case: schemathesis.Case[Any]) -> bool:
    """`revision` goes with no other parameter."""
    return "revision" in (case.query or {}) and len(case.query) > 1


def _binds_all_that_follows(case: schemathesis.Case[Any]) -> bool:
    """A policy in force with which no request after it would be answered as it would be without."""
    tried = (case.query or {}).get("dry_run") in (True, "true")
    body: Any = case.body
    binds = isinstance(body, dict) and (body.get("schemas") or body.get("reason_required"))
    return case.path == "/policy" and case.method == "PUT" and bool(binds) and not tried


def _waits_for_long(case: schemathesis.Case[Any]) -> bool:
    """A client that knows everything waits for as long as it said: nobody changes anything meanwhile."""
    query = case.query or {}
    return "after" in query and str(query.get("wait", 0)) not in ("0", "1")


def _contradicts_itself(case: schemathesis.Case[Any]) -> bool:
    """If-Match and If-None-Match, on a write; the page of a trial that is none."""
    names = {name.lower() for name in case.headers or {}}
    query = case.query or {}
    if case.path == "/policy" and query.keys() & {"limit", "after"} and query.get("dry_run") not in (True, "true"):
        return True
    return case.method in ("PUT", "POST") and {"if-match", "if-none-match"} <= names


def _is_no_set_of_keys(keys: list[str]) -> bool:
    """A key's limit is in bytes, a schema's in characters; and a batch names each key once."""
    return len(set(keys)) < len(keys) or any(len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES for key in keys)


def _arrives_as_it_is(key: str) -> bool:
    """The client takes an escape in a key for its own and encodes it no more; for half a character it sends U+FFFD."""
    return "%" not in key and "\ufffd" not in key.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _prefixes(policy: Any) -> list[Any]:
    said: dict[str, Any] = policy if isinstance(policy, dict) else {}
    lists = [each for name in ("guarded", "reason_required", "schemas") if isinstance(each := said.get(name), list)]
    return [entry.get("prefix") if isinstance(entry, dict) else entry for listed in lists for entry in listed]


def _keys(case: schemathesis.Case[Any]) -> list[str]:
    query = case.query or {}
    asked = [query.get(name) for name in ("prefix", "after", "key")]  # one, or several
    named = [(case.path_parameters or {}).get("key")]
    named += [each for given in asked for each in (given if isinstance(given, list) else [given])]
    body: Any = case.body
    operations = body.get("operations") if isinstance(body, dict) else None
    named += _prefixes(body) if case.path == "/policy" else []
    listed = [each.get("key") for each in operations if isinstance(each, dict)] if isinstance(operations, list) else []
    return [key for key in listed or named if isinstance(key, str)]
