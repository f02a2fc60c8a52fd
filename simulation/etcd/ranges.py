"""Ranges and comparisons over a store, as etcd evaluates them: which keys, how many, in which order. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from simulation.etcd.errors import COMPACTED, FUTURE_REVISION, Refused
from simulation.etcd.mvcc import Kv, Mvcc

ALL = b"\x00"
"""As the end of a range: all keys from its beginning on."""


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a member has come: the revision that it shows, and the one up to which it has compacted."""

    revision: int
    compacted: int


def check(request: Any, moment: Moment) -> None:
    """Raise Refused for a revision that is not there, at this moment."""
    if request.revision > moment.revision:
        raise Refused(FUTURE_REVISION)
    if 0 < request.revision < moment.compacted:
        raise Refused(COMPACTED)


def answer_range(into: Any, store: Mvcc, request: Any, revision: int) -> None:
    """Fill a RangeResponse: the request's keys as of its own revision, or of this one. The revision was checked."""
    at = request.revision if request.revision > 0 else revision
    if not request.range_end:
        kv = store.state(request.key, at)
        if kv is None:
            return
        into.count = 1
        if not request.count_only and _wanted(request, kv):
            add(into.kvs, kv, keys_only=request.keys_only)
        return
    found = store.span(request.key, None if request.range_end == ALL else request.range_end, at)
    into.count = len(found)
    if request.count_only:
        return
    found = [kv for kv in found if _wanted(request, kv)]
    _sort(found, request)
    if 0 < request.limit < len(found):
        into.more = True
        del found[request.limit :]
    for kv in found:
        add(into.kvs, kv, keys_only=request.keys_only)


def add(kvs: Any, kv: Kv, *, keys_only: bool = False) -> None:
    """Append it as etcd's KeyValue."""
    kvs.add(
        key=kv.key,
        value=b"" if keys_only else kv.value,
        create_revision=kv.created,
        mod_revision=kv.mod,
        version=kv.version,
        lease=kv.lease,
    )


def holds(compare: Any, store: Mvcc, revision: int) -> bool:
    """Whether a condition of a transaction is met."""
    if not compare.range_end:
        return _holds(compare, store.state(compare.key, revision))
    found = store.span(compare.key, None if compare.range_end == ALL else compare.range_end, revision)
    if not found:
        return _holds(compare, None)
    return all(_holds(compare, kv) for kv in found)


def _wanted(request: Any, kv: Kv) -> bool:
    return (
        kv.mod >= request.min_mod_revision
        and (not request.max_mod_revision or kv.mod <= request.max_mod_revision)
        and kv.created >= request.min_create_revision
        and (not request.max_create_revision or kv.created <= request.max_create_revision)
    )


_TARGETS: dict[int, Callable[[Kv], Any]] = {
    pb.RangeRequest.KEY: operator.attrgetter("key"),
    pb.RangeRequest.VERSION: operator.attrgetter("version"),
    pb.RangeRequest.CREATE: operator.attrgetter("created"),
    pb.RangeRequest.MOD: operator.attrgetter("mod"),
    pb.RangeRequest.VALUE: operator.attrgetter("value"),
}


def _sort(found: list[Kv], request: Any) -> None:
    if request.sort_target != pb.RangeRequest.KEY or request.sort_order == pb.RangeRequest.DESCEND:
        found.sort(key=_TARGETS[request.sort_target], reverse=request.sort_order == pb.RangeRequest.DESCEND)


_ABSENT = Kv(b"", b"", 0, 0, 0, 0)

_RESULTS: dict[int, Callable[[Any, Any], bool]] = {
    pb.Compare.EQUAL: operator.eq,
    pb.Compare.GREATER: operator.gt,
    pb.Compare.LESS: operator.lt,
    pb.Compare.NOT_EQUAL: operator.ne,
}


def _holds(compare: Any, kv: Kv | None) -> bool:
    found = kv or _ABSENT
    target = compare.target
    if target == pb.Compare.VALUE:
        return kv is not None and _RESULTS[compare.result](kv.value, compare.value)
    if target == pb.Compare.VERSION:
        return _RESULTS[compare.result](found.version, compare.version)
    if target == pb.Compare.CREATE:
        return _RESULTS[compare.result](found.created, compare.create_revision)
    if target == pb.Compare.MOD:
        return _RESULTS[compare.result](found.mod, compare.mod_revision)
    return _RESULTS[compare.result](found.lease, compare.lease)
