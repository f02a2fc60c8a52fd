"""Which calls etcd has taken, from whom, and which documents they asked for: what a read or a write has cost.

Owns the list of them. It is empty until somebody counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from consistency.etcd.transactions import Layout
from simulation.etcd.requests import only_reads


@dataclass(frozen=True, slots=True)
class Taken:
    """One call. client: who made it, as the network knows it. reads: the documents that it asked for as they are now,
    each with whether it was asked for whole; one that is asked for if it is newer is not. Whoever asks for the key
    alone, as trimming does, loads nothing. is_proof: it reads the version key first, as each read of a batch does
    (rule 4).
    """

    client: str
    method: str
    reads: dict[str, bool]
    is_proof: bool


@dataclass
class Counting:
    """Takes down what etcd takes, while it is `on`."""

    layout: Layout
    on: bool = False
    taken: list[Taken] = field(default_factory=list)

    def take(self, client: str, method: str, request: Any) -> None:
        """One more call."""
        if self.on:
            reads = self._reads(method, request)
            self.taken.append(Taken(client, method, reads, is_proof=self._is_proof(method, request)))

    def of(self, client: str, since: int = 0) -> list[Taken]:
        """Those of one client, from the `since`-th of all on."""
        return [each for each in self.taken[since:] if each.client == client]

    def asked_for(self, client: str, key: str, since: int = 0) -> list[bool]:
        """How often a client has asked for a document, from the `since`-th call on; each time whether for all of it."""
        return [each.reads[key] for each in self.of(client, since) if key in each.reads]

    def _is_proof(self, method: str, request: Any) -> bool:
        return method == "Txn" and only_reads(request) and request.success[0].request_range.key == self.layout.version

    def _reads(self, method: str, request: Any) -> dict[str, bool]:
        if method != "Txn" or not only_reads(request):
            return {}
        prefix = self.layout.documents
        ranges = (operation.request_range for operation in request.success)
        return {
            each.key.removeprefix(prefix).decode(): not each.min_mod_revision
            for each in ranges
            if each.key.startswith(prefix) and not (each.range_end or each.revision or each.keys_only)
        }
