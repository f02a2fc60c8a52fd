"""What the state of an instance says of guarded keys (rules 16, 17): which are held now, and which may be.

A part of `state`, which owns all of it. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from consistency.core.holds import Holds
from consistency.core.store import InForce


class StateOfHolds:
    """Belongs to one loop."""

    _holds: Holds
    _policy: InForce
    _policy_changed: int

    @property
    def held(self) -> Collection[str]:
        """The nonces of the intents that hold something here."""
        return self._holds.nonces

    @property
    def policy_is_old(self) -> bool:
        """Whether a version has told of a change of the policy that has not been read."""
        return self._policy.header.revision < self._policy_changed

    def may_be_guarded(self, key: str) -> bool:
        """Whether every read of the key has to be linearizable, for all that is known here."""
        return key in self._holds or self.policy_is_old or self._policy.policy.guards(key)
