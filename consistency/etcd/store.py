"""The store over etcd.

Owns the messages and their meaning. Refuses to guess: a write is sent once, to an endpoint that has just answered, and
an answer that doesn't come is OutcomeUnknown. Makes no connection before the first call, so that it can be built
anywhere and before a fork.

Beside it `endpoint` (the connections to one endpoint), `etcd_watch` (one stream), and, pure: `config` (where etcd
is), `errors` (what a failure means), `failover` (whom to ask next), `etcd_health` (which endpoints fail),
`token` (one Authenticate for all), `messages` (reading messages), `layout` (names of keys). No other module
speaks to etcd, but for the doctor's questions in `probe`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.events import Observer, StoreCalled, ignore
from consistency.core.model import (
    Departure,
    Document,
    MustBeAbsent,
    MustBeAt,
    MustExist,
    Precondition,
    Revision,
    VersionRecord,
)
from consistency.core.store import (
    Answer,
    Change,
    Commit,
    Compacted,
    Denied,
    Lease,
    NoSpace,
    OutcomeUnknown,
    Page,
    Past,
    PastVersions,
    Put,
    Rejected,
    Scan,
    StoreError,
    Survey,
    TooLarge,
    Touched,
    Unavailable,
    Want,
)
from consistency.etcd import messages as answers
from consistency.etcd.calls import Call, Calls, snake_case
from consistency.etcd.config import EtcdConfig
from consistency.etcd.endpoint import Connect, EtcdNode, connect, metadata_for
from consistency.etcd.errors import Failed, NoSuchLease
from consistency.etcd.layout import Layout, encode, range_end
from consistency.etcd.past import PastReads, then
from consistency.etcd.watch import EtcdWatch
from consistency.tasks import Worker

__all__ = ["MAX_CHANGES", "MAX_REQUEST", "MAX_WANTS", "EtcdConfig", "EtcdStore", "EtcdWatch"]

MAX_WANTS = 126
"""Most wants of one read: etcd's 128 operations, less the version key and the member key."""

MAX_CHANGES = 100
"""Most changes of one commit."""

MAX_LOOKED_AT = 62
"""Most changes that leave room, in etcd's 128 operations, for a look at what was there before each."""

MAX_REQUEST = 1_572_000
"""Most bytes of one write, all included: etcd's 1.5 MiB less what it adds itself."""

LOOK_FOR = 2.0
"""Seconds for which an endpoint that failed is asked whether it is well again."""


class EtcdStore:
    """`consistency.core.store.Store` over etcd, and `version`. Belongs to one loop; see the module's opening.

    connect: makes the channels. clock: seconds, for deadlines and for what observers are told.
    """

    def __init__(
        self,
        config: EtcdConfig,
        *,
        observer: Observer = ignore,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._layout = Layout(config.prefix)
        self._ask_version = _range_op(self._layout.version)
        self._nodes = tuple(EtcdNode(endpoint, config, connect, clock) for endpoint in config.servers())
        self._calls = Calls(
            self._nodes, cheap_read(self._layout), login(config), observer, clock, on_down=self._look_again
        )
        self._past = PastReads(self._layout, self._calls, clock, self._snapshot, self._watch_versions)
        self._looker = Worker("endpoints", self._look, observer)
        self._looking = False
        self._closed = False

    # --- reads

    async def read(self, wants: Sequence[Want], slot: int | None, *, timeout: float) -> Answer:
        """See Store.read. Raises ValueError over MAX_WANTS."""
        if len(wants) > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} wants in one read, not {len(wants)}")
        request = pb.TxnRequest(success=(self._ask_version,))
        add = request.success.add
        if slot is not None:
            add().request_range.key = self._layout.member(slot)
        for want in wants:
            ask = add().request_range
            ask.key = self._layout.document(want.key)
            if want.newer_than:
                ask.min_mod_revision = want.newer_than + 1
        answer = await self._snapshot("read", request, timeout)
        version, *ranges = [response.response_range for response in answer.responses]
        member = 0 if slot is None else answers.lease_of(ranges.pop(0))
        return Answer(answers.header(answer), answers.version_state(version), member, tuple(map(answers.found, ranges)))

    async def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        """See Store.survey. With `at` None or 0 there is no `version_then`."""
        deadline = self._clock() + timeout
        try:
            return await self._survey(at, timeout)
        except (Compacted, Rejected):  # of the past, or altogether? Asking without the past will tell
            if not at:
                raise
        return await self._survey(None, deadline - self._clock())

    async def past(self, key: str, revision: Revision, *, timeout: float) -> Past:
        """See Store.past. Raises ValueError for a revision below 1."""
        request = pb.RangeRequest(key=self._layout.document(key), revision=then(revision))
        answer = await self._calls.ask(Call("past", "range", request), timeout)
        return Past(answers.header(answer), answers.found(answer).document)

    async def values(
        self, keys: Sequence[str], at: Revision, *, names_only: bool = False, timeout: float
    ) -> tuple[Document | None, ...]:
        """See Store.values. Raises ValueError over MAX_WANTS, or for a revision below 1."""
        return await self._past.values(keys, at, names_only, timeout)

    async def scan(
        self, prefix: str, *, after: str | bytes, limit: int, at: Revision, names_only: bool = False, timeout: float
    ) -> Scan:
        """See Store.scan. Raises ValueError for a revision below 1."""
        return await self._past.scan(prefix, after, limit, at, names_only, timeout)

    async def versions(self, after: Revision, until: Revision, *, most: int, timeout: float) -> PastVersions:
        """See Store.versions."""
        return await self._past.versions(after, until, most, timeout)

    async def touched(self, since: Revision, *, limit: int, timeout: float) -> Touched:
        """See Store.touched. The latest come first.

        The count is a range of its own. (With `min_mod_revision` etcd 3.4 and 3.5 count what they leave out as well.)
        Not a transaction: with very many documents this takes long, and some releases of etcd 3.5 panic when a client
        gives up on a transaction that reads (etcd issue 14110).
        """
        deadline = self._clock() + timeout
        end = range_end(self._layout.documents)
        latest = _range_op(
            self._layout.documents,
            range_end=end,
            min_mod_revision=since + 1,
            keys_only=True,
            limit=limit + 1,
            sort_target=pb.RangeRequest.MOD,
            sort_order=pb.RangeRequest.DESCEND,
        )
        everything = _range_op(self._layout.documents, range_end=end, count_only=True)
        request = pb.TxnRequest(success=(latest, everything, self._ask_version))
        answer = await self._range_by_range("touched", request, deadline)
        found, counted, version = (response.response_range for response in answer.responses)
        return Touched(
            header=answers.header(answer),
            version=answers.version_state(version),
            count=counted.count,
            keys=answers.listed(self._layout, found.kvs[:limit]),
            complete=len(found.kvs) <= limit,
        )

    async def existed(self, keys: Sequence[str], at: Revision, *, timeout: float) -> tuple[bool, ...]:
        """See Store.existed. Raises ValueError over MAX_WANTS, or for a revision below 1."""
        if len(keys) > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} keys at once, not {len(keys)}")
        asked = [_range_op(self._layout.document(key), revision=then(at), count_only=True) for key in keys]
        answer = await self._snapshot("existed", pb.TxnRequest(success=asked), timeout)
        return tuple(response.response_range.count > 0 for response in answer.responses)

    async def page(self, prefix: str, *, after: str | bytes, limit: int, timeout: float) -> Page:
        """See Store.page. Moves no values. Other tools' keys may have up to a megabyte each."""
        deadline = self._clock() + timeout
        first, end = self._layout.listing(prefix, after)
        while True:
            request = pb.RangeRequest(key=first, range_end=end, limit=limit + 1, keys_only=True)
            try:
                answer = await self._calls.ask(Call("page", "range", request), deadline - self._clock())
                break
            except TooLarge:
                if limit == 1:
                    raise
                limit //= 2
        listed = answers.listed(self._layout, answer.kvs[:limit])
        return Page(answers.header(answer), listed, more=len(answer.kvs) > limit)

    async def version(self, timeout: float) -> tuple[str, str]:
        """The endpoint that answered, and the version there: "" if it tells root alone. Raises Unavailable, Denied."""
        try:
            node, answer = await self._calls.find(Call("status", "status", pb.StatusRequest()), timeout)
        except Denied:  # 3.5.28 and some later releases (etcd #21663)
            return (await self._calls.probe(timeout)).name, ""
        return node.name, answer.version

    # --- writes

    async def commit(
        self, changes: Sequence[Change], version: VersionRecord, *, only_if_new: bool = False, timeout: float
    ) -> Commit:
        """See Store.commit. Raises TooLarge over MAX_CHANGES or MAX_REQUEST, before anything is sent."""
        request = self._transaction(changes, version, only_if_new)
        if len(changes) > MAX_CHANGES or request.ByteSize() > MAX_REQUEST:
            raise TooLarge(
                f"a write of {len(changes)} changes and {request.ByteSize():,} bytes; "
                f"etcd takes at most {MAX_CHANGES} changes and {MAX_REQUEST:,} bytes"
            )
        deadline = self._clock() + timeout
        answer = await self._calls.send(Call("commit", "txn", request, write=True), timeout)
        header, ranges = answers.header(answer), answers.ranges(answer)
        members = answers.slots(self._layout, ranges.pop()) if answer.succeeded and version.ack else ()
        if answer.succeeded and len(changes) > MAX_LOOKED_AT:
            before = await self._before(changes, header.revision, deadline - self._clock())
        else:
            before = tuple(map(answers.mod_revision, ranges))
        return Commit(header, answer.succeeded, before, members)

    async def acknowledge(self, slot: int, lease: int, applied: Revision, *, timeout: float) -> None:
        """See Store.acknowledge."""
        ours = _held_by(self._layout.member(slot), lease)
        put = _put_op(self._layout.ack(slot), b"%d" % applied, lease)
        request = pb.TxnRequest(compare=(ours,), success=(put,))
        if not (await self._calls.send(Call("acknowledge", "txn", request, write=True), timeout)).succeeded:
            raise Rejected(f"slot {slot:02d} is not held by lease {lease:x}")

    async def claim(self, slot: int, lease: int, description: str, *, timeout: float) -> bool:
        """See Store.claim. An absent key has no lease, either."""
        key = self._layout.member(slot)
        # In this order: who watches sees the slot held before the place is given up, and takes nobody for lost.
        claimed = (_put_op(key, encode(description), lease), _delete_op(self._layout.wait(lease)))
        request = pb.TxnRequest(compare=(_held_by(key, 0),), success=claimed)
        return bool((await self._calls.send(Call("claim", "txn", request, write=True), timeout)).succeeded)

    async def wait(self, lease: int, description: str, *, timeout: float) -> None:
        """See Store.wait."""
        put = _put_op(self._layout.wait(lease), encode(description), lease)
        await self._calls.send(Call("wait", "txn", pb.TxnRequest(success=(put,)), write=True), timeout)

    async def fleet(self, candidate: str, *, timeout: float) -> str:
        """See Store.fleet. A read first: it is retried, and etcd answers it when it is out of space, too."""
        deadline, key = self._clock() + timeout, self._layout.fleet
        answer = await self._calls.ask(Call("fleet", "range", pb.RangeRequest(key=key)), timeout)
        if not answer.kvs:
            put, look = _put_op(key, candidate.encode()), _range_op(key)
            request = pb.TxnRequest(compare=(_absent(key),), success=(put,), failure=(look,))
            made = await self._calls.send(Call("fleet", "txn", request, write=True), deadline - self._clock())
            if made.succeeded:
                return candidate
            answer = answers.ranges(made)[0]
        return answers.fleet_id(self._layout, answer)

    async def grant(self, ttl: int, *, timeout: float) -> Lease:
        """See Store.grant."""
        answer = await self._calls.send(Call("grant", "grant", pb.LeaseGrantRequest(TTL=ttl), write=True), timeout)
        return Lease(answer.ID, answer.TTL)

    async def keep_alive(self, lease: int, *, timeout: float) -> int:
        """See Store.keep_alive. Renewing twice is renewing, so this is retried as a read is."""
        answer = await self._calls.ask(Call("keep_alive", "keep_alive", pb.LeaseKeepAliveRequest(ID=lease)), timeout)
        return max(0, int(answer.TTL))

    async def revoke(self, lease: int, *, timeout: float) -> None:
        """See Store.revoke."""
        with contextlib.suppress(NoSuchLease):
            await self._calls.send(Call("revoke", "revoke", pb.LeaseRevokeRequest(ID=lease), write=True), timeout)

    async def record(self, departure: Departure, lease: int, *, timeout: float) -> bool:
        """See Store.record."""
        key = self._layout.departure(departure.lease)
        request = pb.TxnRequest(compare=(_absent(key),), success=(_put_op(key, departure.encode(), lease),))
        return bool((await self._calls.send(Call("record", "txn", request, write=True), timeout)).succeeded)

    async def erase(self, departed: Sequence[int], *, timeout: float) -> None:
        """See Store.erase."""
        deletions = [_delete_op(self._layout.departure(lease)) for lease in departed[:MAX_CHANGES]]
        await self._calls.send(Call("erase", "txn", pb.TxnRequest(success=deletions), write=True), timeout)

    # --- the watch, and the end

    async def watch(self, version_from: Revision, members_from: Revision, *, timeout: float) -> EtcdWatch:
        """See Store.watch. One that starts before a compaction ends with Compacted when it is iterated.

        A cheap read goes before it: it finds an endpoint that answers, and a watch can't tell a refused token from a
        missing permission. Who answers reads may still refuse streams, as a proxy does: then another is asked.
        """
        versions = _watch_request(self._layout.version, b"", version_from)
        members = _watch_request(self._layout.members, range_end(self._layout.members), members_from)
        return await self._watch((versions, members), timeout)

    async def _watch_versions(self, version_from: Revision, timeout: float) -> EtcdWatch:
        return await self._watch((_watch_request(self._layout.version, b"", version_from),), timeout)

    async def _watch(self, requests: Sequence[Any], timeout: float) -> EtcdWatch:
        deadline, said, asked = self._clock() + timeout, "", 0
        async for node in self._calls.answering(timeout):
            left = (deadline - self._clock()) / (len(self._nodes) - asked)
            asked += 1
            try:
                return await self._open_watch(node, requests, left)
            except Failed as failed:
                if not failed.diagnosis.may_be_better_elsewhere:
                    raise failed.error(f"watch {said}at {node.name}", write=False) from failed
                self._calls.stream_failed(node, failed)
                said += f"at {node.name}: {failed.diagnosis.finding}; "
        raise Unavailable(f"no etcd endpoint opened a watch: {said.removesuffix('; ')}")

    async def close(self) -> None:
        """See Store.close. May be called twice."""
        self._closed = True
        self._calls.close()
        self._looker.cancel()
        for node in self._nodes:
            await node.close()
        await self._looker.ended(LOOK_FOR)
        await self._calls.ended(LOOK_FOR)

    # --- endpoints that fail

    def _look_again(self) -> None:
        """An endpoint began to fail: from now on somebody has to find out when it is well again.

        With one endpoint everybody does so.
        """
        if self._closed or len(self._nodes) == 1:
            return
        if not self._looking:
            self._looking = True
            self._looker.start()
        self._looker.wake()

    async def _look(self, worker: Worker) -> None:
        await worker.pause(await self._calls.look_again(LOOK_FOR))

    # --- how messages are made

    async def _survey(self, at: Revision | None, timeout: float) -> Survey:
        request = pb.TxnRequest(success=(self._ask_version, self._range_members()))
        if at:
            request.success.append(_range_op(self._layout.version, revision=at))
        answer = await self._snapshot("survey", request, timeout)
        version, fleet, *then = [response.response_range for response in answer.responses]
        return Survey(
            header=answers.header(answer),
            version=answers.version_state(version),
            version_then=answers.version_state(then[0]) if then else None,
            members=answers.members(self._layout, fleet),
            departed=answers.departed(self._layout, fleet),
            waiting=answers.waiting(self._layout, fleet),
        )

    async def _snapshot(self, kind: str, request: Any, timeout: float) -> Any:
        """The answer to a transaction of ranges: all of them as of one revision.

        Some releases of etcd (3.5.1, not 3.4.23) refuse even a transaction that only reads once their file has outgrown
        its quota, but no range. There the ranges go one by one, as of the revision that the first one found: the same
        snapshot.
        """
        deadline = self._clock() + timeout
        try:
            return await self._calls.ask(Call(kind, "txn", request), timeout)
        except NoSpace:
            return await self._range_by_range(kind, request, deadline)

    async def _range_by_range(self, kind: str, request: Any, deadline: float) -> Any:
        answer = pb.TxnResponse(succeeded=True)
        for asked in (operation.request_range for operation in request.success):
            asked.revision = asked.revision or answer.header.revision
            found = await self._calls.ask(Call(kind, "range", asked), deadline - self._clock())
            if not answer.responses:
                answer.header.CopyFrom(found.header)
            answer.responses.add().response_range.CopyFrom(found)
        return answer

    def _transaction(self, changes: Sequence[Change], version: VersionRecord, only_if_new: bool) -> Any:
        """What was there before is asked for in the same breath, unless that would be too many operations."""
        request = pb.TxnRequest()
        may_fail = only_if_new or any(change.precondition is not None for change in changes)
        for change in changes:
            key = self._layout.document(change.key)
            before = _range_op(key, keys_only=True)
            if change.precondition is not None:
                request.compare.append(_compare(key, change.precondition))
            if len(changes) <= MAX_LOOKED_AT:
                request.success.append(before)
            request.success.append(_put_op(key, change.value) if isinstance(change, Put) else _delete_op(key))
            if may_fail:
                request.failure.append(before)
        if only_if_new:
            request.compare.append(_absent(self._layout.version))
        request.success.append(_put_op(self._layout.version, version.encode()))
        if version.ack:
            request.success.append(self._range_slots())
        return request

    async def _before(self, changes: Sequence[Change], revision: Revision, timeout: float) -> tuple[Revision, ...]:
        """What a large write found, looked up in the revision before it. Raises OutcomeUnknown, though it happened."""
        asked = (_range_op(self._layout.document(each.key), keys_only=True, revision=revision - 1) for each in changes)
        try:
            answer = await self._calls.ask(Call("before", "txn", pb.TxnRequest(success=asked)), timeout)
        except StoreError as error:
            raise OutcomeUnknown(
                f"written at revision {revision}, but what was there before is lost: {error}"
            ) from error
        return tuple(answers.mod_revision(response.response_range) for response in answer.responses)

    def _range_members(self) -> Any:
        return _range_op(self._layout.members, range_end=range_end(self._layout.members))

    def _range_slots(self) -> Any:
        """Without whoever has gone: a synchronous write has no use for them."""
        return _range_op(self._layout.members, range_end=self._layout.slots_end, keys_only=True)

    async def _open_watch(self, node: EtcdNode, requests: Sequence[Any], timeout: float) -> EtcdWatch:
        started, outcome = self._clock(), "ok"
        try:
            token = await self._calls.token(node, timeout)
            stream = EtcdWatch(node.stream("watch", metadata=metadata_for(token)), self._layout, node.name, self._clock)
            await stream.begin(requests, timeout)
        except Failed as failed:
            outcome = snake_case(failed.diagnosis.meaning(write=False))
            raise
        finally:
            self._observer(StoreCalled("watch", outcome, self._clock() - started))
        return stream


def cheap_read(layout: Layout) -> Call:
    """A linearizable read that moves nothing."""
    return Call("probe", "range", pb.RangeRequest(key=layout.version, count_only=True))


def login(config: EtcdConfig) -> Call | None:
    """What asks for a token; None without a user."""
    if config.user is None:
        return None
    return Call("authenticate", "authenticate", pb.AuthenticateRequest(name=config.user, password=config.password))


def _range_op(key: bytes, **options: Any) -> Any:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key, **options))


def _put_op(key: bytes, value: bytes, lease: int = 0) -> Any:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value, lease=lease))


def _delete_op(key: bytes) -> Any:
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


def _watch_request(key: bytes, end: bytes, start: Revision) -> Any:
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=key, range_end=end, start_revision=start))


def _held_by(key: bytes, lease: int) -> Any:
    return pb.Compare(key=key, target=pb.Compare.LEASE, result=pb.Compare.EQUAL, lease=lease)


def _absent(key: bytes) -> Any:
    return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.EQUAL, create_revision=0)


def _compare(key: bytes, precondition: Precondition) -> Any:
    match precondition:
        case MustBeAbsent():
            return _absent(key)
        case MustExist():
            return pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.GREATER, create_revision=0)
        case MustBeAt(mod_revision=wanted):
            return pb.Compare(key=key, target=pb.Compare.MOD, result=pb.Compare.EQUAL, mod_revision=wanted)
        case _:
            assert_never(precondition)
