"""The consistency protocol: a cache in every instance, proven fresh by reads of one version key.

    cache = DistributedCache(EtcdStore(config), CacheOptions(staleness_bound=1.0))
    cache.start()
    cache.put("team/app", b'{"limit": 10}')
    cache.get("team/app")                      # current at some moment of the last second, usually without I/O
    cache.get("team/app", use_cache=False)     # linearizable, read from etcd
    cache.close()

A value is served from memory only while a linearizable read, sent at most `staleness_bound` ago, proves that every
version event before it has been applied here. PROTOCOL.md has the rules and the argument. Nothing in this package
imports Flask or Prometheus; only `etcd/` imports etcd3 and grpc, and it is not imported here.
"""

from consistency.blocking import DistributedCache
from consistency.cache import AsyncDistributedCache
from consistency.core.feed import ChangedKey, Scope, Token, Told
from consistency.core.model import (
    Author,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Policy,
    Precondition,
    PreconditionFailed,
    Reading,
    Revision,
    Source,
    Status,
    Written,
    WrongTimeline,
)
from consistency.core.options import CacheOptions
from consistency.core.store import (
    BadCredentials,
    Compacted,
    Denied,
    FleetTooOld,
    NoSpace,
    OutcomeUnknown,
    Page,
    PolicyChanged,
    Rejected,
    Store,
    StoreError,
    TooLarge,
    Unavailable,
)

__all__ = [
    "AsyncDistributedCache",
    "Author",
    "BadCredentials",
    "CacheOptions",
    "ChangedKey",
    "Compacted",
    "Denied",
    "DistributedCache",
    "FleetTooOld",
    "MustBeAbsent",
    "MustBeAt",
    "MustExist",
    "NoSpace",
    "OutcomeUnknown",
    "Page",
    "Policy",
    "PolicyChanged",
    "Precondition",
    "PreconditionFailed",
    "Reading",
    "Rejected",
    "Revision",
    "Scope",
    "Source",
    "Status",
    "Store",
    "StoreError",
    "Token",
    "Told",
    "TooLarge",
    "Unavailable",
    "Written",
    "WrongTimeline",
]
