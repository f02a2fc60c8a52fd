"""Does a history keep every promise? The public face: `check`. Pure: no I/O, no clock.

Each check is one function from a `Case` to violations, O(n log n), and says in its docstring why it is sound: a correct
service never fails it, however slow the network or odd the schedule. They are in `content` (what is there), `order`
(who saw what before whom), `recency` (how old an answer may be) and `replicas` (what those hold who follow changes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torture import content, order, recency, replicas
from torture.case import Case, Guarded
from torture.followed import Told
from torture.history import Operation
from torture.truth import Truth
from torture.violations import Violation

__all__ = ["CHECKS", "check"]

Check = Callable[[Case], Iterator[Violation]]

CHECKS: tuple[Check, ...] = (
    content.acknowledged_writes_are_there,
    content.failed_writes_are_not_there,
    content.every_change_was_asked_for,
    content.batches_happen_whole,
    content.conditions_held,
    content.every_change_bears_a_version,
    content.reads_show_what_was_written,
    content.reads_hold_at_their_revision,
    content.answers_keep_the_contract,
    order.linearizable_per_key,
    order.linearizable_across_keys,
    order.nothing_is_read_before_it_is_written,
    order.synchronous_writes_are_seen_by_all,
    recency.staleness_is_bounded,
    recency.age_is_honest,
    recency.tokens_are_honoured,
    recency.instances_know_their_own_writes,
    recency.sessions_never_go_back,
    replicas.replicas_are_exact,
    replicas.silence_is_honest,
    replicas.streams_tell_in_time,
    replicas.libraries_know_how_old,
)


def check(
    history: Sequence[Operation],
    truth: Truth,
    *,
    bound: float,
    slack: float = 0.0,
    followed: Sequence[Told] = (),
    guarded: Guarded = (),
) -> list[Violation]:
    """Every broken promise, in the order of CHECKS. `bound` is B, `slack` what clocks may be off, both in seconds.

    followed: what followers of /changes were told, each in the order of its telling. guarded: see `case`.
    """
    case = Case(history, truth, bound, slack, followed, guarded)
    return [violation for find in CHECKS for violation in find(case)]
