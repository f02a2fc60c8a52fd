"""What a state looks like, as an instance tells it of itself (`states.state`). What others say is held against this.

Pure. The page reads these fields without asking what they are, so a state in which one is missing, or is something
else, is none. What a newer release says beyond them is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from consistency.core.model import SLOTS

Check = Callable[[object], bool]


def _is_flag(found: object) -> bool:
    return isinstance(found, bool)


def _is_text(found: object) -> bool:
    return isinstance(found, str)


def _is_amount(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and found >= 0


def _is_count(found: object) -> bool:
    return isinstance(found, int) and _is_amount(found)


def _may_be(check: Check) -> Check:
    return lambda found: found is None or check(found)


def _is_slot(found: object) -> bool:
    return isinstance(found, int) and _is_count(found) and found < SLOTS


def _is_bound(found: object) -> bool:
    return _is_amount(found) and bool(found)


READS = frozenset({"hit", "miss", "revalidated", "bypass", "stale"})


def _are_reads(found: object) -> bool:
    return isinstance(found, dict) and found.keys() >= READS and all(map(_is_count, found.values()))


MINUTES = 61
"""Most samples of the last minutes."""


def _are_minutes(found: object) -> bool:
    return isinstance(found, list) and len(found) <= MINUTES and all(map(_is_sample, found))


def _is_sample(found: object) -> bool:
    """Seconds ago, requests, reads, hits, proof_age."""
    if not (isinstance(found, list) and len(found) == 5):
        return False
    *counts, proof_age = found
    return all(map(_is_amount, counts)) and _may_be(_is_amount)(proof_age)


FIELDS: Mapping[str, Check] = {
    "slot": _may_be(_is_slot),
    "ready": _is_flag,
    "why_not": _is_text,
    "draining": _is_flag,
    "fresh": _is_flag,
    "proof_age": _may_be(_is_amount),
    "bound": _is_bound,
    "horizon": _is_count,
    "watch_up": _is_flag,
    "lease_age": _may_be(_is_amount),
    "entries": _is_count,
    "bytes": _is_count,
    "reads": _are_reads,
    "requests": _is_count,
    "errors": _is_count,
}
OPTIONAL: Mapping[str, Check] = {"recent": _are_minutes, "loop_lag": _is_amount}
"""What is asked for, and what earlier releases don't tell."""


def state_in(said: Mapping[str, Any]) -> dict[str, Any] | None:
    """The state that somebody told; None if it is none."""
    whole = all(name in said and check(said[name]) for name, check in FIELDS.items())
    more = {name: said[name] for name, check in OPTIONAL.items() if name in said and check(said[name])}
    return {name: said[name] for name in FIELDS} | more if whole else None
