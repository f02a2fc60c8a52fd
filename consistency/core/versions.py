"""The version key as it stood: its mod_revision is the logical clock. Frozen values, without I/O."""

from __future__ import annotations

from dataclasses import dataclass

Revision = int
"""An etcd store revision. 0 stands for "none": etcd counts from 1."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """The version key as it stood at some revision: what two observers compare to know that they agree.

    `nonce` tells two histories apart that gave the same number to different writes (rule 8).
    """

    revision: Revision  # mod_revision
    created: Revision  # create_revision
    count: int  # etcd's per-key `version`: +1 for each write, so that a lost event shows
    nonce: str


NO_VERSION = VersionState(revision=0, created=0, count=0, nonce="")
"""The version key does not exist."""
