"""The fault matrix: what happens, and what users and operators are promised when it does. Data, and nothing else.

B is the staleness bound. `≤ B` means: served from memory while the last proof is younger than B, then 503 with
Retry-After. `?` means: 504, outcome unknown, said so and never retried by the service.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. The columns say what is promised to each kind of request; tests name the row by `fault`."""

    fault: str
    default: str
    uncached: str
    write: str
    health: str
    membership: str
    note: str = ""  # how the tests differ from the fault as it is named
    reason: str = ""  # why no test shows it, if none does


ROWS = (
    Row(
        "etcd killed for 75 s",
        default="≤ B",
        uncached="503 within the deadline",
        write="in flight ?, then 503",
        health="200, 503 after B",
        membership="back ≤ 3 s after etcd",
        note="the tests use an outage of seconds, beyond B and the lease: nothing in the service waits for longer",
    ),
    Row(
        "etcd away, all behind the balancer",
        default="≤ B, then `STALE` if the client asks for it, else 503 with `Retry-After`",
        uncached="503 within the deadline",
        write="?, then 503",
        health="200, 503; for routing 200",
        membership="may be lost; the page can be reached, and says why",
    ),
    Row(
        "etcd paused 20 s",
        default="≤ B",
        uncached="503 within the deadline",
        write="?, then 503",
        health="200, 503",
        membership="may survive; verified",
        note="the longest pause is 10 s, beyond B, the lease and the 8 s after which gRPC gives up a silent peer",
    ),
    Row(
        "leader change (3 nodes)",
        default="no gap",
        uncached="answered within the deadline",
        write="? allowed",
        health="200, 200",
        membership="kept",
    ),
    Row(
        "one of three nodes killed",
        default="no gap",
        uncached="at most the RPC in flight fails over",
        write="? allowed",
        health="200, 200",
        membership="kept",
        note=(
            "B is longer than an election, which takes etcd 1 to 2 s. With a shorter B default reads wait "
            "for the new leader like all others, and /readyz answers 503 until there is one"
        ),
    ),
    Row(
        "one-way loss, either direction",
        default="≤ B",
        uncached="503 within the deadline",
        write="?; may or may not be there later",
        health="200, 503",
        membership="expires; rejoins",
    ),
    Row(
        "only the watch broken",
        default="goes on, proven by rule 4; never stale",
        uncached="fine",
        write="fine",
        health="200, 200; `config_watch_up` 0",
        membership="kept",
    ),
    Row(
        "own process paused 20 s, TTL 10",
        default="proves anew before the first hit",
        uncached="fine",
        write="fine",
        health="none while it is paused",
        membership="new lease",
        note="TTL 2, and a pause until etcd has ended the lease",
    ),
    Row(
        "stream lost, history provably ours",
        default="validated lazily by `mod_revision`; nothing is flushed",
        uncached="fine",
        write="fine",
        health="200, 200",
        membership="kept",
    ),
    Row(
        "compaction past our horizon while cut off",
        default="entries dropped, reloaded lazily, one load per key",
        uncached="fine",
        write="fine",
        health="200, 200",
        membership="kept",
    ),
    Row(
        "older snapshot restored",
        default="all dropped with the first contact, ≤ B at the latest",
        uncached="the restored state; lost tokens 410",
        write="fine",
        health="200, 503 for a moment",
        membership="rejoins",
    ),
    Row(
        "outside write (etcdctl)",
        default="seen within the audit interval",
        uncached="uncached at once; linearizable, served from memory: within the audit interval",
        write="fine",
        health="200, 200",
        membership="kept",
    ),
    Row(
        "member key deleted or lease revoked by hand",
        default="no hit after B; back after rejoining",
        uncached="fine",
        write="fine",
        health="200, 200",
        membership="new slot",
    ),
    Row(
        "wall clock ±1 h",
        default="no effect",
        uncached="none",
        write="none",
        health="200, 200",
        membership="kept",
        note="the clock is set for one process, not for the machine; the service decides nothing by it",
    ),
    Row(
        "NOSPACE",
        default="fine",
        uncached="fine",
        write="507",
        health="200, 200",
        membership="old ones stay, new ones uncached",
    ),
    Row(
        "auth enabled, token expired, password changed",
        default="one re-authentication that no client notices; wrong password: ≤ B",
        uncached="the same; wrong password: 503",
        write="the same",
        health="200; wrong password: 503 with the reason",
        membership="kept",
    ),
    Row(
        "wrong CA, wrong name, expired certificate",
        default="≤ B",
        uncached="503",
        write="503",
        health="200, 503 with the reason",
        membership="none",
    ),
    Row(
        "one of two endpoints is no etcd, or has a wrong certificate",
        default="no gap",
        uncached="fail over",
        write="fail over; a write under way at the beginning may be ?",
        health="200, 200; `config_etcd_endpoint_up` 0, and the log says what is wrong with it",
        membership="kept",
        note=(
            "an answer that is not etcd's own word about the request is the endpoint's failure, whatever its gRPC "
            "code. A failing endpoint is tried again, and used again when it is well"
        ),
    ),
    Row(
        "3 of 4 instances killed",
        default="the others go on",
        uncached="fine",
        write="fine",
        health="200, 200 with a warning if `EXPECTED_INSTANCES` is set",
        membership="slots free after the lease; for an hour page, `/members` and an alert name the lost instances",
    ),
    Row(
        "embedded etcd killed, its disk full, its owner killed",
        default="≤ B",
        uncached="503 until it runs again",
        write="in flight ?, then 503",
        health="200, 503 after B with the reason",
        membership="verified, or rejoins",
        note="etcd is started again at the same address, by its owner or by an instance that shares it, until it runs",
    ),
    Row(
        "kill -9 in mid-PUT",
        default="others untouched",
        uncached="others untouched",
        write="data and version both, or neither",
        health="none",
        membership="gone in TTL + 2 s",
    ),
    Row(
        "65th instance",
        default="correct, uncached",
        uncached="fine",
        write="fine",
        health='200, 200 with `"member": false`',
        membership="none",
    ),
    Row(
        "rolling restart under load",
        default="0 failures",
        uncached="0 failures",
        write="0 failures",
        health="off before the drain",
        membership="left last",
    ),
    Row(
        "1,000 slow clients",
        default="others are answered",
        uncached="others are answered",
        write="503 or slow, never lost",
        health="200, 200",
        membership="kept",
        note="the tests count and do not time: a client in the way of others would be so for seconds",
    ),
    Row(
        "hostile documents, slow readers, slow bodies, big headers in 256 MB",
        default="p99 within three times",
        uncached="answered, or 503",
        write="refused, 503 or slow, never lost",
        health="200, 200",
        membership="kept; no kill, the memory is back within 20 s",
        note="the kernel counts what the clients cost, in a control group; a p99 below 10 ms counts as 10 ms",
    ),
    Row(
        "10,000 connections",
        default="answered",
        uncached="answered",
        write="answered",
        health="answered; bounded memory and descriptors",
        membership="kept",
        note=(
            "the service stops accepting at 12,000 connections; a new one waits until another ends. Where the limit "
            "on open files is lower, so is this number"
        ),
    ),
    Row(
        "flood of misses",
        default="answered; keys in use stay in memory",
        uncached="answered",
        write="answered",
        health="200, 200; bounded memory",
        membership="kept",
    ),
    Row(
        "malformed input of any kind",
        default="400, 404, 405, 411, 413, 414, 415, 431; never 500 or a redirect",
        uncached="the same",
        write="the same, and nothing is written",
        health="200, 200",
        membership="kept",
    ),
)
