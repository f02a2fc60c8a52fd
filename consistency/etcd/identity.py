"""Which etcd cluster is ours, told by the id that comes with every answer. Pure: the clock is a parameter.

Owns that id. A list of endpoints that mixes clusters, or a server that only looks like etcd, must not make an instance
serve one cluster's data now and another's in a moment. So an answer counts if it is of the cluster that answered first.

A cluster may be made anew at the same place, from a backup say, and bear another id since then. It is taken for ours as
soon as no endpoint is known to be of the old one, or once the old one has been silent for PATIENCE seconds: of three
endpoints only one may have been restored.

An etcd that is started again and again at one address, on one data directory, keeps its id: it is ours for life
(`for_life`). While it is down:

  1. Its port is free.  2. Another etcd takes it, as each of them takes the usual port if it can.
  3. It answers us. It is never ours, however long ours is away: we would write to somebody else's.

Where 3 is the first answer that there is, the id of the member tells, which is known from its start.
"""

from __future__ import annotations

from collections.abc import Callable

PATIENCE = 30.0
"""Seconds of silence of our cluster after which another is taken for it."""


class Identity:
    """Belongs to one loop. `endpoints`: how many there are. for_life: no other cluster is ever taken for ours.

    member: the id of the only member that ours has; 0 if that is not known.
    """

    def __init__(self, endpoints: int, clock: Callable[[], float], *, for_life: bool = False, member: int = 0) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._for_life = for_life
        self._member = member
        self._ours = 0  # 0: nobody has answered yet
        self._heard = 0.0  # when ours answered last
        self._strangers: set[int] = set()  # the endpoints that answered last as another cluster

    def objection(self, index: int, cluster: int, member: int) -> str:
        """What is wrong with an answer of this endpoint, for an operator; "" if it is our cluster's."""
        if not cluster:
            return "it does not answer as etcd does: an answer without the id of a cluster"
        if self._member and member != self._member:
            return f"it is of another etcd cluster (its member {member:x}, ours is {self._member:x})"
        now = self._clock()
        if cluster != self._ours:
            self._strangers.add(index)
            all_strange = len(self._strangers) == self._endpoints
            made_anew = (all_strange or now - self._heard >= PATIENCE) and not self._for_life
            if self._ours and not made_anew:
                return f"it is of another etcd cluster ({cluster:x}, ours is {self._ours:x})"
            self._ours = cluster
        self._strangers.discard(index)
        self._heard = now
        return ""
