"""Random calls, made to a real etcd and to the simulated one: what they are, and what both answer.

Revisions are counted from the beginning of a run, so that both tell the same. What only one of them can say (ids, the
raft term) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from hypothesis import strategies as st

KEYS = (b"a", b"b", b"b/1", b"b/2", b"c")
VALUES = (b"", b"1", b"2", b"3")
LEASES = (0, 1, 2, 3)
"""Of these a run grants some: 0 is no lease, and one that was not granted is an error."""

ALL = b"\x00"
END = b"end"
"""The value that ends what watches are told."""

LAST = 24
"""How many times each key is written in the end: so far a watch may begin in the future."""


@dataclass(frozen=True)
class Ask:
    """One call: the RPC's name, and its request, in which revisions count from the beginning of the run."""

    method: str
    request: Any

    def at(self, base: int) -> Any:
        """The request, where the run began at this revision."""
        return shifted(self.request, base)


def shifted(message: Any, by: int) -> Any:
    """The message with every revision that is not 0 moved."""
    made = type(message)()
    made.CopyFrom(message)
    _shift(made, by)
    return made


_BOUNDS = ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")
_REVISIONS = frozenset((*_BOUNDS, "revision", "mod_revision", "create_revision", "start_revision", "compact_revision"))


def _shift(message: Any, by: int) -> None:
    for field, value in message.ListFields():
        if field.name in _REVISIONS:
            setattr(message, field.name, value + by)
        elif field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _shift(each, by)


def told(answer: Any, base: int) -> str:
    """What an answer says, of which both must say the same."""
    made = shifted(answer, -base)
    _without_ids(made)
    if isinstance(made, pb.LeaseTimeToLiveResponse):  # etcd tells the keys of a lease in no order
        made.keys.sort()
    return str(made)


def _without_ids(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name == "header":
            for name in ("cluster_id", "member_id", "raft_term"):
                value.ClearField(name)
        elif field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _without_ids(each)


# --- what is asked

_keys = st.sampled_from(KEYS)
_ends = st.sampled_from((b"", b"", b"c", b"b0", ALL, b"a"))
_revisions = st.sampled_from((0, 0, 0, 1, 2, 3, 4, 6, 9, 40))
_flags = st.booleans()


@st.composite
def ranges(draw: st.DrawFn) -> Any:
    """A range, seldom with more than a few of its options."""
    request = pb.RangeRequest(key=draw(_keys), range_end=draw(_ends), revision=draw(_revisions))
    for name in draw(st.sets(st.sampled_from(_RANGE_OPTIONS), max_size=3)):
        setattr(request, name, draw(_OPTIONS[name]))
    return request


_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "limit": st.integers(1, 4),
    "sort_order": st.sampled_from((0, 1, 2)),
    "sort_target": st.sampled_from((0, 1, 2, 3, 4)),
    "keys_only": _flags,
    "count_only": _flags,
    "serializable": _flags,
    **dict.fromkeys(_BOUNDS, st.integers(1, 9)),
}
_RANGE_OPTIONS = sorted(_OPTIONS)

puts = st.builds(
    pb.PutRequest,
    key=_keys,
    value=st.sampled_from(VALUES),
    lease=st.sampled_from((0, 0, *LEASES)),
    prev_kv=_flags,
)
deletes = st.builds(pb.DeleteRangeRequest, key=_keys, range_end=_ends, prev_kv=_flags)
operations = st.one_of(
    st.builds(lambda request: pb.RequestOp(request_range=request), ranges()),
    st.builds(lambda request: pb.RequestOp(request_put=request), puts),
    st.builds(lambda request: pb.RequestOp(request_delete_range=request), deletes),
)

_results = st.sampled_from((0, 1, 2, 3))
compares = st.one_of(
    st.builds(pb.Compare, key=_keys, target=st.just(0), result=_results, version=st.integers(0, 3)),
    st.builds(pb.Compare, key=_keys, target=st.just(1), result=_results, create_revision=st.integers(0, 9)),
    st.builds(pb.Compare, key=_keys, target=st.just(2), result=_results, mod_revision=st.integers(0, 9)),
    st.builds(pb.Compare, key=_keys, target=st.just(3), result=_results, value=st.sampled_from(VALUES)),
    st.builds(pb.Compare, key=_keys, target=st.just(4), result=_results, lease=st.sampled_from(LEASES)),
    st.builds(
        pb.Compare, key=_keys, range_end=_ends, target=st.just(2), result=_results, mod_revision=st.integers(0, 9)
    ),
)
_inner = st.builds(
    pb.TxnRequest,
    compare=st.lists(compares, max_size=1),
    success=st.lists(operations, max_size=2),
    failure=st.lists(operations, max_size=2),
)
_any_operation = st.one_of(operations, operations, st.builds(lambda request: pb.RequestOp(request_txn=request), _inner))
transactions = st.builds(
    pb.TxnRequest,
    compare=st.lists(compares, max_size=2),
    success=st.lists(_any_operation, max_size=4),
    failure=st.lists(_any_operation, max_size=2),
)
_one = pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))


def _nested(outer: int, inner: int) -> Ask:
    """So many operations, one of which has so many of its own."""
    within = pb.RequestOp(request_txn=pb.TxnRequest(success=[_one] * inner))
    return Ask("Txn", pb.TxnRequest(success=[within, *[_one] * (outer - 1)]))


odd = st.sampled_from(
    (
        Ask("Range", pb.RangeRequest()),
        Ask("Put", pb.PutRequest()),
        Ask("DeleteRange", pb.DeleteRangeRequest()),
        Ask("Txn", pb.TxnRequest()),
        Ask("Txn", pb.TxnRequest(compare=[pb.Compare()])),
        Ask("Txn", pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest())])),
        Ask("Txn", pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * 129)),
        Ask("Txn", pb.TxnRequest(success=[pb.RequestOp(request_range=pb.RangeRequest(key=b"a"))] * 128)),
        _nested(28, 100),
        _nested(28, 101),
        Ask("Put", pb.PutRequest(key=b"a", value=b"x" * (1_572_864 + 1))),
        Ask("LeaseGrant", pb.LeaseGrantRequest(ID=3, TTL=9_000_000_001)),
        Ask("Authenticate", pb.AuthenticateRequest(name="nobody", password="none")),
    )
)

_leases = st.sampled_from(LEASES[1:])
asks = st.one_of(
    st.builds(lambda request: Ask("Range", request), ranges()),
    st.builds(lambda request: Ask("Put", request), puts),
    st.builds(lambda request: Ask("Put", request), puts),
    st.builds(lambda request: Ask("DeleteRange", request), deletes),
    st.builds(lambda request: Ask("Txn", request), transactions),
    st.builds(lambda request: Ask("Txn", request), transactions),
    st.builds(lambda at: Ask("Compact", pb.CompactionRequest(revision=at)), st.integers(1, 12)),
    st.builds(
        lambda lease, ttl: Ask("LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=ttl)),
        _leases,
        st.sampled_from((1, 60, 600)),
    ),
    st.builds(lambda lease: Ask("LeaseRevoke", pb.LeaseRevokeRequest(ID=lease)), _leases),
    st.builds(lambda lease: Ask("LeaseKeepAlive", pb.LeaseKeepAliveRequest(ID=lease)), _leases),
    st.builds(
        lambda lease, keys: Ask("LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=lease, keys=keys)), _leases, _flags
    ),
    odd,
)


@dataclass(frozen=True)
class Run:
    """Calls one after the other. `early` are watched from the beginning on, `late` are begun when all has happened."""

    asks: Sequence[Ask]
    early: Sequence[Any]
    late: Sequence[Any]


def _watch(starts: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    ends = st.sampled_from((b"", b"c0", ALL))
    return st.builds(pb.WatchCreateRequest, key=_keys, range_end=ends, start_revision=starts)


runs = st.builds(
    Run,
    asks=st.lists(asks, min_size=1, max_size=25),
    early=st.lists(_watch(st.sampled_from((0, 0, 1, 2, 5))), max_size=2),
    late=st.lists(_watch(st.integers(0, 20)), max_size=3),
)

_LAST_WORDS = pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=END)) for key in KEYS])


@dataclass
class Watching:
    """One watch, and what it was told. How etcd shares events out among answers is nobody's promise."""

    call: Any
    heard: list[str]

    @classmethod
    async def begin(cls, stubs: Stubs, request: Any) -> Watching:
        """Ask for it; return once it is confirmed."""
        made = cls(stubs.watch(), [])
        await made.call.write(pb.WatchRequest(create_request=request))
        answer = await made.call.read()
        made.heard.append(f"created={answer.created} canceled={answer.canceled} {answer.cancel_reason}")
        return made

    async def hear(self, base: int, last: int) -> list[str]:
        """All that it is told, up to the revision `last`."""
        over = False
        while not over:
            answer = await self.call.read()
            if answer.canceled:
                self.heard.append(f"canceled {answer.cancel_reason} {answer.compact_revision - base}")
            self.heard += [told(event, base) for event in answer.events]
            over = answer.canceled or any(event.kv.mod_revision >= last for event in answer.events)
        self.call.cancel()
        return self.heard


class Stubs:
    """The RPCs of one endpoint, over two channels as gRPC's asyncio makes them."""

    def __init__(self, data: Any, streams: Any) -> None:
        kv, lease = pb.KVStub(data), pb.LeaseStub(data)
        self.watch = pb.WatchStub(streams).Watch
        self._keep_alive = pb.LeaseStub(streams).LeaseKeepAlive
        self._methods = {
            "Range": kv.Range,
            "Put": kv.Put,
            "DeleteRange": kv.DeleteRange,
            "Txn": kv.Txn,
            "Compact": kv.Compact,
            "LeaseGrant": lease.LeaseGrant,
            "LeaseRevoke": lease.LeaseRevoke,
            "LeaseTimeToLive": lease.LeaseTimeToLive,
            "Authenticate": pb.AuthStub(data).Authenticate,
        }

    async def __call__(self, method: str, request: Any) -> Any:
        if method == "LeaseKeepAlive":
            return await self._renew(request)
        return await self._methods[method](request)

    async def outcome(self, ask: Ask, base: int) -> str:
        """The answer to it, or the refusal, in words."""
        try:
            return told(await self(ask.method, ask.at(base)), base)
        except grpc.RpcError as error:
            return f"{error.code()}: {error.details()}"

    async def _renew(self, request: Any) -> Any:
        stream = self._keep_alive()
        await stream.write(request)
        answer = await stream.read()
        stream.cancel()
        return answer


async def perform(stubs: Stubs, run: Run) -> list[str]:
    """Begin with nothing in this etcd, then make the calls; all that was answered."""
    for lease in LEASES[1:]:
        await stubs.outcome(Ask("LeaseRevoke", pb.LeaseRevokeRequest(ID=lease)), 0)
    await stubs("DeleteRange", pb.DeleteRangeRequest(key=ALL, range_end=ALL))
    base = (await stubs("Put", pb.PutRequest(key=b"a"))).header.revision + 1
    await stubs("DeleteRange", pb.DeleteRangeRequest(key=b"a"))
    await stubs("Compact", pb.CompactionRequest(revision=base))
    early = [await Watching.begin(stubs, shifted(request, base)) for request in run.early]
    heard = [await stubs.outcome(ask, base) for ask in run.asks]
    late = [await Watching.begin(stubs, shifted(request, base)) for request in run.late]
    for _ in range(LAST):
        last = (await stubs("Txn", _LAST_WORDS)).header.revision
    for watch in (*early, *late):
        heard += await watch.hear(base, last)
    return heard
