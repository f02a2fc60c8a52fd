"""What the protocol tells an observer: frozen events, one callable. Nothing here knows who listens.

An observer is called when a change is complete, on the thread where it happened; it must not block or raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consistency.core.model import Author, Revision, Source


@dataclass(frozen=True, slots=True)
class ReadServed:
    """A read was answered. `reason` says why the cache was bypassed ("asked", "not a member"), else it is empty."""

    source: Source
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Invalidated:
    """Entries lost their right to be served until they are loaded or validated again.

    cause: "version" (named by an event), "everything" (`keys: null`), "own write", "unknown outcome",
    "gap" and "left" (kept, validated lazily), "history" (dropped: another or an unprovable history), "age"
    (CACHE_MAX_AGE).
    """

    cause: str
    entries: int


@dataclass(frozen=True, slots=True)
class Evicted:
    """Entries left memory to keep its bounds."""

    entries: int


@dataclass(frozen=True, slots=True)
class BatchAnswered:
    """A read transaction came back: `wants` keys for `readers` readers. `proved`: whether it was a proof (rule 4)."""

    wants: int
    readers: int
    proved: bool


@dataclass(frozen=True, slots=True)
class WatchStarted:
    """The watch is up, from this revision on. `history_kept` is False when the entries had to be dropped."""

    revision: Revision
    history_kept: bool


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """The watch is down. cause: "compacted", "denied", "unavailable", "gap", "stuck", "history", "closed"."""

    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TimeWentBackwards:
    """The store answered from another history (rule 8): everything was dropped."""

    detail: str


@dataclass(frozen=True, slots=True)
class Joined:
    """This instance holds a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class Left:
    """This instance lost or gave up its slot. cause: "expired", "taken", "history", "closed"."""

    slot: int
    cause: str


@dataclass(frozen=True, slots=True)
class JoinFailed:
    """No slot could be had. cause: "full", "taken" (by somebody quicker: tried again at once) or "unavailable"."""

    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AuditFound:
    """Documents were written or deleted without a version (rule 13): the fleet has been told to validate."""

    documents: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A synchronous write returned: `acks` of `members` acknowledged it. `complete`: nobody had to be waited out."""

    acks: int
    members: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Guarded:
    """A guarded write is past its wait, or has failed (rule 16).

    outcome: "acknowledged" (all members hold its keys), "waited out" (nobody can hit any more by a proof of before),
    "given up" (it failed after its intent may have been put, which is taken away).
    """

    outcome: str


@dataclass(frozen=True, slots=True)
class PolicyPut:
    """A version has told that another policy is in force, from this revision on, and who put it (rule 15)."""

    revision: Revision
    author: Author


@dataclass(frozen=True, slots=True)
class ChangesTold:
    """A client was told of so many keys. lag: seconds since the first of these changes was applied here, if known."""

    keys: int
    lag: float | None


@dataclass(frozen=True, slots=True)
class ScopeReset:
    """A client was told its whole scope anew.

    cause: "asked" (it had no token), "everything" (a version that names nothing), "compacted", "too much" (has changed
    since its token), "history" (of its token; another one was found while it followed).
    """

    cause: str


@dataclass(frozen=True, slots=True)
class PastRead:
    """So many versions were read of the version key's past, for clients that had been away."""

    versions: int


@dataclass(frozen=True, slots=True)
class HistoryTrimmed:
    """So many records of changes were removed, since newer ones are kept (rule 19)."""

    records: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A background task met an error that nobody expected. One that runs all the time starts over.

    name: "version-watch", "membership", "prover", "patrol", "acknowledger", "auditor", "recorder", "trimmer", "policy",
    "intents", "feed", "loop-lag", "endpoints"; of those that do one thing for their callers, "read-batch",
    "group-commit", "write", "feed-read", "fleet-id", "authenticate", "hindsight"; of the service, "embedded-etcd",
    "sampler", "memory", "files", "watchdog", "see-off", "earlier-server".
    """

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class StoreCalled:
    """One RPC. outcome: "ok", or the error's class name in snake case."""

    kind: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class EndpointUp:
    """An endpoint of the store answered: the first time, or again."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class EndpointDown:
    """An endpoint of the store began to fail, or failed once more when it was looked at again.

    Calls go to the others, if there are any. finding: what it did, for an operator.
    """

    endpoint: str
    finding: str


Event = (
    ReadServed
    | Invalidated
    | Evicted
    | BatchAnswered
    | WatchStarted
    | WatchEnded
    | TimeWentBackwards
    | Joined
    | Left
    | JoinFailed
    | AuditFound
    | Acknowledged
    | Guarded
    | PolicyPut
    | ChangesTold
    | ScopeReset
    | PastRead
    | HistoryTrimmed
    | WorkerFailed
    | StoreCalled
    | EndpointUp
    | EndpointDown
)

Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer of those who don't want one."""
