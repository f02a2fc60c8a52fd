"""What happens in a run, as data: the fleet, the faults, and what clients ask for. Its seed decides it up front.

A part of it can be left out, and the rest played again (`shrink`). What it does not hold is drawn while it is played,
from the same seed: the order of callbacks, delays and losses of single messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from consistency.core.options import CacheOptions
from torture.history import CHECKED, Kind, Level
from torture.schedule import Step

FOLLOWERS = (0, 1, 2, 3, 4, 5)
"""Clients that follow changes: the even ones poll, the odd ones stream."""

BYSTANDERS = (6, 7)
"""The same, of keys that others write."""

ONLOOKERS = (0, 1, 2)
"""Clients that list keys, and ask for whatever else there is; the last one asks for the past."""

KEEPERS = (0, 1)
"""Clients that keep documents by the policies, and ask for their past; the first one also puts policies."""

AFTERWARDS = ("bypassed", "followed")
"""What is done when the faults are over: see the modules of these names. The first after the last looks, the second
before them."""

SETTLING = 3.0
"""Virtual seconds at the beginning without a fault."""

OUTSIDE = "outside/"
"""Keys that somebody writes past the service, and nobody else."""

KEYS = tuple(
    f"{CHECKED}{sort}-{number}" for sort, many in (("hot", 3), ("warm", 7), ("cold", 40)) for number in range(many)
)

KEPT = tuple(f"kept/{place}{number}" for place in "ab" for number in range(3))
"""Keys that keepers write, and nobody else."""

BOTH = "both/"
"""Keys that the service and others write, when the faults are over."""

VISIBLE = tuple(f"{OUTSIDE}{number}" for number in range(4))
"""The keys beneath OUTSIDE."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance's: `rate` is how fast its clock runs, `booted` what it showed at the beginning."""

    rate: float
    booted: float
    options: CacheOptions


@dataclass(frozen=True, slots=True)
class Weather:
    """How single messages fare between instances and etcd; what is not here is the same for all runs.

    latency: seconds that one takes, at least and at most (mostly near the least). Chances: lost_before, lost_after:
    of a call, that it fails before or after it was executed; slow_watches: of a watch, that it falls behind a while.
    """

    latency: tuple[float, float] = (0.0005, 0.01)
    lost_before: float = 0.0
    lost_after: float = 0.0
    slow_watches: float = 0.0


@dataclass(frozen=True, slots=True)
class Ask:
    """One operation of a client. `at`: seconds after the beginning, unless the one before has taken longer.

    deletes, conditions: of a write, one for each key. A condition: "", "absent", "exists", or "known": at the
    mod_revision that this client saw last. asked: of a STALE read, the seconds that it allows; of one of the PAST, how
    many revisions before what the client has seen. patience: seconds until the client goes away; 0: as long as any.
    size: bytes that a document is made longer by.
    """

    client: int
    at: float
    instance: int
    kind: Kind
    level: Level
    keys: tuple[str, ...]
    deletes: tuple[bool, ...] = ()
    conditions: tuple[str, ...] = ()
    asked: int = 0
    patience: float = 0.0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. steps: of the faults, by time. asks: of each client in its order, all of them by `client`.

    followers, onlookers, keepers: the numbers of those who follow changes, who list keys, and who keep documents by
    policies; what each does is decided by the seed and its number.
    afterwards: what is done beside the last looks.
    guarded: prefixes of keys that are guarded all the time; then others are now and then, too.
    cut_short: it ends with its last operation; nobody is asked to recover, and nothing is looked at.
    """

    seed: int
    seconds: float
    bound: float
    fifo: bool
    members: int
    secured: bool
    weather: Weather
    machines: tuple[Machine, ...]
    steps: tuple[Step, ...]
    asks: tuple[Ask, ...]
    followers: tuple[int, ...] = (*FOLLOWERS, *BYSTANDERS)
    onlookers: tuple[int, ...] = ONLOOKERS
    keepers: tuple[int, ...] = KEEPERS
    afterwards: tuple[str, ...] = AFTERWARDS
    guarded: tuple[str, ...] = ()
    cut_short: bool = False
