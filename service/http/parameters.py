"""Query parameters as frozen values. Pure. Nothing is guessed: what is unknown, repeated or malformed is refused.

A misspelt `use_cahce=false` that was ignored would be answered from the cache, with nobody the wiser.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from consistency.core.feed import MOST_PARTS, Scope, Token
from consistency.core.model import Demand, Revision
from service.auth import access
from service.auth.tokens import Scope as Right
from service.documents.listings import place
from service.fleet.proofs import Ask
from service.http.problems import Refused, bad_request
from service.http.requests import check_escapes, check_key, check_prefix, decode

LINEARIZABLE = "linearizable"
ROUTING = "routing"
MAX_REVISION = 2**63 - 1
MAX_STALENESS = 30 * 24 * 3600  # seconds
MAX_WAIT = 55  # seconds: routers give up after 60
MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
DEFAULT_CHANGES = 20
MAX_CHANGES = 100
LONGEST_SHOWN = 60

_PROOF = {"token": "[A-Za-z0-9._-]{1,64}", "nonce": "[0-9a-f]{32}", "address": "[!-~]{1,300}", "mac": "[0-9a-f]{64}"}
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AtRevision:
    """What `GET /config/<key>?revision=R` asks for: the document as it stood then."""

    revision: Revision


@dataclass(frozen=True, slots=True)
class ListParameters:
    """The parameters of `GET /config/`. `after` is empty at the beginning; bytes: from that name on. values: with the
    documents.

    revision: as it was then; None: now.
    """

    prefix: str = ""
    after: str | bytes = ""
    limit: int = DEFAULT_LIMIT
    values: bool = False
    revision: Revision | None = None


@dataclass(frozen=True, slots=True)
class PolicyParameters:
    """The parameters of `PUT /policy`. after, limit: of a dry run, as of a listing."""

    dry_run: bool = False
    after: str | bytes = ""
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class HistoryParameters:
    """The parameters of `GET /history/<key>`. before: changes of earlier revisions only."""

    before: Revision | None
    limit: int


@dataclass(frozen=True, slots=True)
class ChangeParameters:
    """The parameters of `GET /changes`. after: None asks for the whole scope. wait: seconds."""

    scope: Scope
    after: Token | None
    wait: float
    values: bool


def read_parameters(query: str) -> Demand | AtRevision:
    """Read what `GET /config/<key>` asks for, from WSGI's QUERY_STRING. Raises Refused (400)."""
    if not query:
        return Demand()
    given = _parse(query, ("use_cache", "consistency", "min_revision", "stale_if_error", "revision"))
    if "revision" in given:
        return _at_revision(given)
    if given.get("consistency", LINEARIZABLE) != LINEARIZABLE:
        raise _refusal(f"consistency must be {LINEARIZABLE}, not {_shown(given['consistency'])}")
    return Demand(
        use_cache=_boolean("use_cache", given.get("use_cache", "true")),
        linearizable="consistency" in given,
        min_revision=_number("min_revision", given.get("min_revision", "0"), 0, MAX_REVISION),
        stale_if_error=_number("stale_if_error", given.get("stale_if_error", "0"), 0, MAX_STALENESS),
    )


def _at_revision(given: dict[str, str]) -> AtRevision:
    if others := given.keys() - {"revision"}:
        raise _refusal(f"revision asks for the past, which {min(others)} can't change; give one of them only")
    return AtRevision(_number("revision", given["revision"], 1, MAX_REVISION))


def list_parameters(query: str) -> ListParameters:
    """Read the parameters of `GET /config/`, from WSGI's QUERY_STRING. Raises Refused (400)."""
    given = _parse(query, ("prefix", "limit", "after", "values", "revision"))
    return ListParameters(
        prefix=check_prefix(given.get("prefix", "")),
        after=place(given["after"]) if "after" in given else "",
        limit=_number("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
        values=_boolean("values", given.get("values", "false")),
        revision=_number("revision", given["revision"], 1, MAX_REVISION) if "revision" in given else None,
    )


def change_parameters(query: str, prefix_of_token: str, *, streams: bool) -> ChangeParameters:
    """Read the parameters of `GET /changes`, from WSGI's QUERY_STRING. The scope leaves out what may not be read.

    streams: the answer is a stream, which has no end to wait for. Raises Refused (400; 403: nothing of it may be read).
    """
    keys, prefixes, given = set[str](), set[str](), list[tuple[str, str]]()
    for name, value in _pairs(query, MOST_PARTS + 4):
        if name == "key":
            keys.add(check_key(value))
        elif name == "prefix":
            prefixes.add(check_prefix(value))
        else:
            given.append((name, value))
    others = _only(given, ("after", "values") if streams else ("after", "wait", "values"), ("key", "prefix"))
    for key in keys:
        access.check_key(key, prefix_of_token, Right.READ)
    if not (keys or prefixes):
        prefixes.add("")
    try:
        scope = Scope(frozenset(keys), frozenset(access.narrowed(each, prefix_of_token) for each in prefixes))
    except ValueError as error:
        raise _refusal(f"{error}") from None
    return ChangeParameters(
        scope,
        after=token_in(others["after"]) if "after" in others else None,
        wait=float(_number("wait", others.get("wait", "0"), 0, MAX_WAIT)),
        values=_boolean("values", others.get("values", "true")),
    )


def history_parameters(query: str) -> HistoryParameters:
    """Read the parameters of `GET /history/<key>`, from WSGI's QUERY_STRING. Raises Refused (400)."""
    given = _parse(query, ("before", "limit"))
    return HistoryParameters(
        before=_number("before", given["before"], 1, MAX_REVISION) if "before" in given else None,
        limit=_number("limit", given.get("limit", str(DEFAULT_CHANGES)), 1, MAX_CHANGES),
    )


def token_in(text: str) -> Token:
    """The token that a client holds. Raises Refused (400)."""
    try:
        return Token.parse(text)
    except ValueError as error:
        raise _refusal(f"after must be the to of an earlier answer, not {_shown(text)}; {error}") from None


def write_parameters(query: str) -> bool:
    """Return whether a write is synchronous (rule 12). Raises Refused (400)."""
    return _boolean("sync", _parse(query, ("sync",)).get("sync", "false"))


def policy_parameters(query: str) -> PolicyParameters:
    """Read the parameters of `PUT /policy`. Raises Refused (400)."""
    given = _parse(query, ("dry_run", "limit", "after"))
    dry_run = _boolean("dry_run", given.get("dry_run", "false"))
    if not dry_run and (others := given.keys() - {"dry_run"}):
        raise _refusal(f"{min(others)} is about what dry_run=true tells")
    return PolicyParameters(
        dry_run=dry_run,
        after=place(given["after"]) if "after" in given else "",
        limit=_number("limit", given.get("limit", str(DEFAULT_LIMIT)), 1, MAX_LIMIT),
    )


def no_parameters(query: str) -> None:
    """Refuse any parameter. Raises Refused (400)."""
    _parse(query, ())


def recent_parameter(query: str) -> bool:
    """Return whether a question about states asks for the last minutes, too. Raises Refused (400)."""
    return _boolean("recent", _parse(query, ("recent",)).get("recent", "false"))


def routing_parameter(query: str) -> bool:
    """Return whether `GET /readyz` is asked `for=routing`. Raises Refused (400)."""
    purpose = _parse(query, ("for",)).get("for")
    if purpose not in (None, ROUTING):
        raise _refusal(f"for must be {ROUTING}, not {_shown(purpose)}")
    return purpose is not None


def proof_parameters(query: str) -> Ask:
    """Read the parameters of `GET /members/proof`; all are needed. Raises Refused (400)."""
    given = _parse(query, tuple(_PROOF))
    for name, expected in _PROOF.items():
        if not re.fullmatch(expected, given.get(name, "")):
            raise _refusal(f"{name} must match {expected}")
    return Ask(**given)


def _parse(query: str, known: Collection[str]) -> dict[str, str]:
    return _only(_pairs(query), known)


def _only(pairs: Iterable[tuple[str, str]], known: Collection[str], beside: Collection[str] = ()) -> dict[str, str]:
    """These, each once. beside: what else is known, for the refusal."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise _refusal(f"{_shown(name)} is unknown; known here: {', '.join((*beside, *known)) or 'none'}")
        if name in given:
            raise _refusal(f"{name} is given twice")
        given[name] = value
    return given


def _pairs(query: str, most: int = 16) -> list[tuple[str, str]]:
    if not query:
        return []
    check_escapes(query, "query")
    try:
        return parse_qsl(
            decode(query, "query"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=most
        )
    except ValueError:
        raise _refusal("the query must be name=value pairs in UTF-8, joined by '&'") from None


def _boolean(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise _refusal(f"{name} must be true or false, not {_shown(text)}")
    return text == "true"


def _number(name: str, text: str, low: int, high: int) -> int:
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise _refusal(f"{name} must be a whole number from {low} to {high}, not {_shown(text)}")
    return int(text)


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")


def _refusal(detail: str) -> Refused:
    return bad_request("invalid-parameter", f"Query parameter: {detail}.")
