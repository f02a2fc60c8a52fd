"""The settings of the protocol, each with its unit. Pure values; where they come from is the service's affair."""

from __future__ import annotations

from dataclasses import dataclass

from consistency.core.known import PLACE

CLOCK_RATE_ERROR = 0.01
"""How much faster one machine's clock may run than another's. Crystals are off by less than a thousandth of this."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """How one `DistributedCache` behaves. Raises ValueError when a value makes no sense.

    staleness_bound: B, seconds. A hit was current at some moment no earlier than this before the request.
    timeout: seconds that one read or write may take in all, retries and waiting for a place included.
    lease_ttl: seconds after which a crashed instance's slot is free (etcd may round up).
    max_entries, max_bytes: bounds of the cache, keys and values counted.
    max_age: seconds after which an entry is loaded whole again, against writes that bypass the version key (rule 13).
    audit_interval: seconds between looks for writes that bypassed the version key (rule 13).
    preferred_slot: the slot to try first; any free one serves.
    history_bytes: memory for what changed lately, from which clients that were away are told (rule 18).
    """

    staleness_bound: float = 1.0
    timeout: float = 3.0
    lease_ttl: int = 10
    max_entries: int = 100_000
    max_bytes: int = 64 * 1024 * 1024
    max_age: float = 300.0
    audit_interval: float = 5.0
    preferred_slot: int | None = None
    history_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        if not 0.05 <= self.staleness_bound <= 60:
            raise ValueError(f"staleness_bound must be between 0.05 and 60 seconds, not {self.staleness_bound}")
        for name in ("timeout", "lease_ttl", "max_entries", "max_bytes", "max_age", "audit_interval", "history_bytes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def sync_wait(self) -> float:
        """Seconds after a commit's answer until every proof older than the commit has run out everywhere (rule 12)."""
        return self.staleness_bound * (1 + CLOCK_RATE_ERROR)

    @property
    def names_remembered(self) -> int:
        """How many names the history may hold."""
        return max(1, self.history_bytes // PLACE)

    @property
    def proof_interval(self) -> float:
        """Seconds between proofs of an idle instance: often enough that a hit never waits for one (rule 4)."""
        return self.staleness_bound / 2
