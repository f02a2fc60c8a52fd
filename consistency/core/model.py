"""The words of the protocol as values, from their rooms: a catalogue.

Every class of these is frozen: a value handed to another thread can't change under it. Revisions are etcd's store
revisions: they order everything. Keys are the caller's, without the prefix.
"""

from __future__ import annotations

from consistency.core.documents import (
    Applied,
    Demand,
    Document,
    Reading,
    Source,
    Written,
    WrongTimeline,
)
from consistency.core.holds import (
    Fence,
    Intent,
)
from consistency.core.members import (
    LONGEST_DESCRIPTION,
    SLOTS,
    WAITING,
    AckEvent,
    Departure,
    DepartureEvent,
    Look,
    Member,
    MemberEvent,
    WaitingEvent,
    with_holds,
)
from consistency.core.policy import LARGEST_POLICY, Kept, Policy
from consistency.core.preconditions import (
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    PreconditionFailed,
    holds,
)
from consistency.core.records import NOBODY, Author, Authors, VersionEvent, VersionRecord, new_nonce
from consistency.core.status import (
    Status,
)
from consistency.core.versions import NO_VERSION, Revision, VersionState

__all__ = [
    "LARGEST_POLICY",
    "LONGEST_DESCRIPTION",
    "NOBODY",
    "NO_VERSION",
    "SLOTS",
    "WAITING",
    "AckEvent",
    "Applied",
    "Author",
    "Authors",
    "Demand",
    "Departure",
    "DepartureEvent",
    "Document",
    "Fence",
    "Intent",
    "Kept",
    "Look",
    "Member",
    "MemberEvent",
    "MustBeAbsent",
    "MustBeAt",
    "MustExist",
    "Policy",
    "Precondition",
    "PreconditionFailed",
    "Reading",
    "Revision",
    "Source",
    "Status",
    "VersionEvent",
    "VersionRecord",
    "VersionState",
    "WaitingEvent",
    "Written",
    "WrongTimeline",
    "holds",
    "new_nonce",
    "with_holds",
]
