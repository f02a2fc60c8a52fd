"""What a transaction that did nothing says: why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.core.model import PreconditionFailed, Revision, holds
from consistency.core.store import Change, Commit, PolicyChanged, Unavailable


def look_for_policy(commit: Commit, policy: Revision) -> None:
    """Raises PolicyChanged if it was refused since another policy is in force (rule 15)."""
    if not commit.committed and commit.policy != policy:
        raise PolicyChanged(f"the policy in force is of revision {commit.policy}, not {policy}")


def look_for_fence(commit: Commit) -> None:
    """Raises Unavailable if it was refused since its intent had gone (rule 16): its keys may not be held any more."""
    if not commit.committed and commit.lapsed:
        raise Unavailable("the lease ended that announced the write, before it was done; nothing was done")


def look_for_precondition(commit: Commit, changes: Sequence[Change]) -> None:
    """Raises PreconditionFailed for the first change whose precondition did not hold, if it was refused."""
    if commit.committed:
        return
    key, current = next(
        (change.key, before)
        for change, before in zip(changes, commit.before, strict=True)
        if not holds(change.precondition, before)
    )
    raise PreconditionFailed(key, current, commit.header.revision)
