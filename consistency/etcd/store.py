"""The store over etcd.

Owns the messages and their meaning. Refuses to guess: a write is sent once, to an endpoint that has just answered, and
an answer that doesn't come is OutcomeUnknown. Makes no connection before the first call, so that it can be built
anywhere and before a fork.

Here are the reads of documents. The rest of it stands beside it: `transactions` (names of keys, pieces of what is
asked, and the writes of documents), `readings` (what is answered), `intents` (of writes that are guarded), `leases` (to
be one of a fleet), `listings` and `past`, `remembered` (what writes leave), `watches` (opening one). They use `calls`
(whom to ask, how often, and what is known of each endpoint), `channels` (the connections to one), `watch` (one stream),
and, pure: `config` (where etcd is), `errors` (what a failure means), `failover` (whom to ask next), `identity` (whose
answers count), `token` (one Authenticate for all). No other module speaks to etcd, but for the doctor's `probe`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.core.events import Observer, ignore
from consistency.core.model import Revision
from consistency.core.store import Compacted, Denied, InForce, NoSpace, ReadAnswer, Rejected, Survey, Touched, Want
from consistency.etcd import readings
from consistency.etcd.calls import Call, Calls, EtcdNode
from consistency.etcd.channels import Connect, connect
from consistency.etcd.config import EtcdConfig
from consistency.etcd.intents import Intents, range_intents
from consistency.etcd.leases import Leases
from consistency.etcd.listings import Listings
from consistency.etcd.past import PastReads, then
from consistency.etcd.remembered import Remembered
from consistency.etcd.transactions import MAX_CHANGES, MAX_REQUEST, Commits, Layout, header_of, range_end, range_op
from consistency.etcd.watch import EtcdWatch
from consistency.etcd.watches import Watches
from consistency.tasks import Worker

__all__ = ["MAX_CHANGES", "MAX_REQUEST", "MAX_WANTS", "EtcdConfig", "EtcdStore", "EtcdWatch"]

MAX_WANTS = 126
"""Most wants of one read: etcd's 128 operations, less the version key and the member key. The intents are a want."""

LOOK_FOR = 2.0
"""Seconds for which an endpoint that failed is asked whether it is well again."""


class EtcdStore(Commits, Intents, Leases, Listings, Remembered, Watches):
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
        self._ask_version = range_op(self._layout.version)
        self._nodes = tuple(EtcdNode(endpoint, config, connect, clock) for endpoint in config.servers())
        self._calls = Calls(
            self._nodes,
            cheap_read(self._layout),
            login(config),
            observer,
            clock,
            on_down=self._look_again,
            for_life=config.for_life,
            member=config.member,
        )
        self._past = PastReads(self._layout, self._calls, clock, self._snapshot, self._watch_versions)
        self._looker = Worker("endpoints", self._look, observer)
        self._looking = False
        self._closed = False

    # --- reads

    async def read(
        self, wants: Sequence[Want], slot: int | None, *, intents: bool = False, timeout: float
    ) -> ReadAnswer:
        """See Store.read. Raises ValueError over MAX_WANTS."""
        if len(wants) + intents > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} wants in one read, not {len(wants) + intents}")
        request = pb.TxnRequest(success=(self._ask_version,))
        add = request.success.add
        if slot is not None:
            add().request_range.key = self._layout.member(slot)
        for want in wants:
            ask = add().request_range
            ask.key = self._layout.document(want.key)
            if want.newer_than:
                ask.min_mod_revision = want.newer_than + 1
        if intents:
            request.success.append(range_intents(self._layout, keys_only=True))
        answer = await self._snapshot("read", request, timeout)
        version, *ranges = [response.response_range for response in answer.responses]
        member = 0 if slot is None else readings.lease_of(ranges.pop(0))
        nonces = readings.nonces(self._layout, ranges.pop()) if intents else None
        found = tuple(map(readings.found, ranges))
        return ReadAnswer(header_of(answer), readings.version_state(version), member, found, nonces)

    async def survey(self, at: Revision | None, *, timeout: float) -> Survey:
        """See Store.survey. With `at` None or 0 there is no `version_then`."""
        deadline = self._clock() + timeout
        try:
            return await self._survey(at, timeout)
        except (Compacted, Rejected):  # of the past, or altogether? Asking without the past will tell
            if not at:
                raise
        return await self._survey(None, deadline - self._clock())

    async def policy(self, *, timeout: float) -> InForce:
        """See Store.policy."""
        answer = await self._calls.ask(Call("policy", "range", pb.RangeRequest(key=self._layout.policy)), timeout)
        return InForce(header_of(answer), readings.policy(answer))

    async def touched(self, since: Revision, *, limit: int, timeout: float) -> Touched:
        """See Store.touched. The latest come first.

        The count is a range of its own. (With `min_mod_revision` etcd 3.4 and 3.5 count what they leave out as well.)
        Not a transaction: with very many documents this takes long, and some releases of etcd 3.5 panic when a client
        gives up on a transaction that reads (etcd issue 14110).
        """
        deadline = self._clock() + timeout
        end = range_end(self._layout.documents)
        latest = range_op(
            self._layout.documents,
            range_end=end,
            min_mod_revision=since + 1,
            keys_only=True,
            limit=limit + 1,
            sort_target=pb.RangeRequest.MOD,
            sort_order=pb.RangeRequest.DESCEND,
        )
        everything = range_op(self._layout.documents, range_end=end, count_only=True)
        request = pb.TxnRequest(success=(latest, everything, self._ask_version))
        answer = await self._range_by_range("touched", request, deadline)
        found, counted, version = (response.response_range for response in answer.responses)
        return Touched(
            header=header_of(answer),
            version=readings.version_state(version),
            count=counted.count,
            keys=readings.listed(self._layout, found.kvs[:limit]),
            complete=len(found.kvs) <= limit,
        )

    async def existed(self, keys: Sequence[str], at: Revision, *, timeout: float) -> tuple[bool, ...]:
        """See Store.existed. Raises ValueError over MAX_WANTS, or for a revision below 1."""
        if len(keys) > MAX_WANTS:
            raise ValueError(f"at most {MAX_WANTS} keys at once, not {len(keys)}")
        asked = [range_op(self._layout.document(key), revision=then(at), count_only=True) for key in keys]
        answer = await self._snapshot("existed", pb.TxnRequest(success=asked), timeout)
        return tuple(response.response_range.count > 0 for response in answer.responses)

    async def version(self, timeout: float) -> tuple[str, str]:
        """The endpoint that answered, and the version there: "" if it tells root alone. Raises Unavailable, Denied."""
        try:
            node, answer = await self._calls.find(Call("status", "status", pb.StatusRequest()), timeout)
        except Denied:  # 3.5.28 and some later releases (etcd #21663)
            return (await self._calls.probe(timeout)).name, ""
        return node.name, answer.version

    # --- the end

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
        now = (self._ask_version, self._range_members(), range_op(self._layout.policy), range_intents(self._layout))
        request = pb.TxnRequest(success=now)
        if at:
            request.success.append(range_op(self._layout.version, revision=at))
        answer = await self._snapshot("survey", request, timeout)
        version, fleet, policy, intents, *then = [response.response_range for response in answer.responses]
        return Survey(
            header=header_of(answer),
            version=readings.version_state(version),
            version_then=readings.version_state(then[0]) if then else None,
            members=readings.members(self._layout, fleet),
            departed=readings.departed(self._layout, fleet),
            waiting=readings.waiting(self._layout, fleet),
            policy=readings.policy(policy),
            intents=readings.intents(self._layout, intents),
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

    def _range_members(self) -> Any:
        return range_op(self._layout.members, range_end=range_end(self._layout.members))


def cheap_read(layout: Layout) -> Call:
    """A linearizable read that moves nothing."""
    return Call("probe", "range", pb.RangeRequest(key=layout.version, count_only=True))


def login(config: EtcdConfig) -> Call | None:
    """What asks for a token; None without a user."""
    if config.user is None:
        return None
    return Call("authenticate", "authenticate", pb.AuthenticateRequest(name=config.user, password=config.password))
