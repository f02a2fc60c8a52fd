"""What a call to a store may end with. Errors answer "did it happen?", as `store` says."""

from __future__ import annotations


class StoreError(Exception):
    """A store call that gave no answer. The message is for an operator: which endpoint, what was found."""


class Rejected(StoreError):
    """Understood and refused; nothing was done, and the same call will be refused again."""


class NoSpace(Rejected):
    """etcd's quota is used up: writes are refused until it is compacted, defragmented and disarmed."""


class Denied(Rejected):
    """The etcd user lacks the permission."""


class TooLarge(Rejected):
    """The request, or the answer to it, is over etcd's or our own limit."""


class FleetTooOld(Rejected):
    """What is asked for takes what not all instances know: some are of an earlier release (rule 15)."""


class Unavailable(StoreError):
    """Nothing was done: no endpoint could be reached or answered a read in time."""


class PolicyChanged(Unavailable):
    """Nothing was done: the policy in force is another than the one that the write was decided under (rule 15)."""


class BadCredentials(Unavailable):
    """etcd refused the user or the password, or the TLS certificates of the two sides don't match."""


class OutcomeUnknown(StoreError):
    """A write was sent and no answer came back: it may or may not have happened, now or later. Never retried."""


class Compacted(StoreError):
    """The revision asked for has been compacted away."""


class NotReached(Rejected):
    """The revision asked for lies in the future of this store."""
