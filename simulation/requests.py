"""What a client's request is to an instance, as the service makes it, and what is known when it has ended. Pure."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from consistency import AsyncDistributedCache
from consistency.core.model import (
    Applied,
    Author,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    PreconditionFailed,
    Reading,
    Written,
    WrongTimeline,
)
from consistency.core.store import (
    Change,
    Compacted,
    Delete,
    NoSpace,
    NotReached,
    OutcomeUnknown,
    Put,
    Rejected,
    StoreError,
    Unavailable,
)
from simulation.life import Gone
from simulation.plan import Ask
from simulation.policies import Approval, Broken
from torture.history import Kind, Level, Outcome

PAUSES = (0.0, 0.0, 0.003, 0.05)
"""Virtual seconds that it takes to hold a write against a policy, by client."""

ALLOWED = 10.0
"""Seconds that a client whose session can't be understood would take an answer unproven for."""

Wanted = Sequence[tuple[str, str | None, str]]
"""Keys with their new values and their conditions, in the history's words. Empty for a read."""


def work(
    cache: AsyncDistributedCache, ask: Ask, wanted: Wanted, token: int, asked: int, author: Author
) -> Coroutine[Any, Any, Any]:
    """What the instance is to do. asked: of a read of the past, its revision."""
    if ask.kind is Kind.READ:
        return _read(cache, ask, token, asked)
    sync = ask.level is Level.SYNC
    changes = [_change(*each) for each in wanted]
    approve = Approval(cache, {key: value for key, value, _ in wanted}, author, PAUSES[ask.client % len(PAUSES)])
    if ask.kind is Kind.BATCH:
        return cache.apply(changes, sync=sync, author=author, approve=approve)
    (change,) = changes
    if isinstance(change, Put):
        return cache.put(
            change.key, change.value, precondition=change.precondition, sync=sync, author=author, approve=approve
        )
    return cache.delete(change.key, precondition=change.precondition, sync=sync, author=author, approve=approve)


def _read(cache: AsyncDistributedCache, ask: Ask, token: int, asked: int) -> Coroutine[Any, Any, Reading]:
    (key,) = ask.keys
    match ask.level:
        case Level.PAST:
            return cache.get_at(key, asked)
        case Level.STALE:
            return cache.get(key, min_revision=token, stale_if_error=float(ask.asked))
        case Level.UNCACHED:
            return cache.get(key, use_cache=False, min_revision=token)
        case Level.LINEARIZABLE if is_unknown(ask):
            return cache.get(key, session_unknown=True, stale_if_error=ALLOWED)  # which is never unproven, even so
        case _:
            return cache.get(key, min_revision=token, linearizable=ask.level is Level.LINEARIZABLE)


def is_unknown(ask: Ask) -> bool:
    """Whether the service can't tell what the client has seen (rule 10). Then it names nothing, either."""
    return ask.level is Level.LINEARIZABLE and ask.client % 2 == 1


def _change(key: str, value: str | None, condition: str) -> Change:
    precondition: Precondition | None
    match condition:
        case "":
            precondition = None
        case "absent":
            precondition = MustBeAbsent()
        case "exists":
            precondition = MustExist()
        case _:
            precondition = MustBeAt(int(condition))
    return Delete(key, precondition) if value is None else Put(key, value.encode(), precondition)


def ended(kind: Kind, told: object) -> tuple[Outcome, int]:
    """What is known of it, and the status that the service would answer; 500: nobody foresaw this."""
    match told:
        case Reading() | Written() | Applied():
            return Outcome.OK, 200
        case PreconditionFailed():
            return Outcome.REFUSED, 412
        case OutcomeUnknown():
            return Outcome.UNKNOWN, 504
        case Gone():
            undone = kind is Kind.READ or str(told) == "refused"
            return Outcome.FAILED if undone else Outcome.UNKNOWN, 0
        case Broken():
            return Outcome.FAILED, 422
        case NoSpace():
            return Outcome.FAILED, 507
        case WrongTimeline() | Compacted() | NotReached():
            return Outcome.FAILED, 410
        case Unavailable() | Rejected():
            return Outcome.FAILED, 503
        case StoreError():
            return Outcome.FAILED, 503
        case _:
            return Outcome.FAILED if kind is Kind.READ else Outcome.UNKNOWN, 500
