"""The doctor's questions to etcd: what one endpoint says of itself, and what our user may do.

Keeps to what a healthy service needs, and changes nothing but a key that means nothing: whether a write is permitted is
asked by a transaction whose condition never holds, since etcd looks at the permissions of both branches first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]

from consistency.core.events import ignore
from consistency.core.store import TooLarge
from consistency.etcd.calls import Call, Calls, EtcdNode
from consistency.etcd.config import EtcdConfig
from consistency.etcd.errors import Failed
from consistency.etcd.store import cheap_read, login
from consistency.etcd.transactions import Layout, range_end, successor

_DB_IN_USE, _LEARNER, _QUOTA = 9, 10, 12
"""Fields of etcd's StatusResponse that are younger than our stubs."""

_STATUS = Call("status", "status", pb.StatusRequest())

_MEMBERS = Call("members", "member_list", pb.MemberListRequest())

_ANYTHING = Call("anything", "time_to_live", pb.LeaseTimeToLiveRequest(ID=1))
"""A question that everybody may ask whom etcd knows, in every release: of a lease that does not exist."""

_ALARMS = {0: "NONE", 1: "NOSPACE", 2: "CORRUPT"}


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """What one member of the cluster says of itself. 3.5.28 and some later releases tell root alone (etcd #21663).

    version: "" if it isn't told. cluster, member: ids; 0 if they aren't told. None is not told, either.
    leader: the id of the member that it follows; 0 if it knows none.
    db_bytes: of its file; in_use_bytes: of these, what a defragmentation would leave.
    quota_bytes: what the file may grow to; 0 if it doesn't tell (before 3.6).
    """

    endpoint: str
    version: str = ""
    cluster: int = 0
    member: int = 0
    leader: int | None = None
    learner: bool = False
    db_bytes: int | None = None
    in_use_bytes: int | None = None
    quota_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """Something that the service must be allowed to do: to read or to write `keys`, as an operator knows them."""

    write: bool
    keys: str
    request: Any


@dataclass(frozen=True, slots=True)
class Weight:
    """What is beneath a prefix: how many keys, bytes of names and values. whole: not estimated by some of them."""

    keys: int
    bytes: int
    whole: bool


PAGE_BYTES = 1024 * 1024
"""About the most bytes of one answer while keys are weighed; etcd's answers may have four times as many."""

FIRST_PAGE = 16
"""Keys of the first answer: nobody knows yet how large they are."""

MOST_OF_A_PAGE = 5000
"""Keys of an answer, however small they are."""

ENDS_WITHIN = 1.0
"""Seconds for what is still under way once the connections are closed."""


class EtcdProbe:
    """Asks the endpoints of `config`, each by itself where that makes a difference. `close` it."""

    def __init__(self, config: EtcdConfig) -> None:
        self._layout = Layout(config.prefix)
        self._user = config.user
        self._nodes = tuple(EtcdNode(endpoint, config) for endpoint in config.servers())
        self._cheap_read = cheap_read(self._layout)
        # Before a write goes out, an endpoint has to answer: a question that needs no permission, unlike the store's.
        self._calls = Calls(self._nodes, _ANYTHING, login(config), ignore)

    async def close(self) -> None:
        """Ends the connections."""
        self._calls.close()
        for node in self._nodes:
            await node.close()
        await self._calls.ended(ENDS_WITHIN)

    async def status(self, index: int, timeout: float) -> MemberStatus:
        """Return the status of the endpoint with that index, whether it follows a leader or not. Raises Failed if
        nothing answers."""
        node = self._nodes[index]
        try:
            return _told(node.name, await node.rpc(_STATUS, timeout, "", leader=False))
        except Failed as failed:
            if not failed.diagnosis.refused:
                raise
        # It answers, but not everybody. A token that it doesn't give, or a right that is missing, is told elsewhere.
        here = pb.RangeRequest(key=self._layout.version, serializable=True)
        for call, heard in ((_STATUS, _told), (Call("here", "range", here), _identified)):
            with contextlib.suppress(Failed):
                return heard(
                    node.name, await node.rpc(call, timeout, await self._calls.token(node, timeout), leader=False)
                )
        return MemberStatus(node.name)

    async def is_proxy(self, index: int, timeout: float) -> bool:
        """Whether the endpoint with that index is etcd's gRPC proxy: it names itself as a member that has no id."""
        try:
            members = (await self._nodes[index].rpc(_MEMBERS, timeout, "", leader=False)).members
        except Failed:  # an etcd with users may keep its members to itself; the proxy answers everybody
            return False
        return bool(members) and not any(member.ID for member in members)

    async def sign_in(self, timeout: float) -> bool:
        """Whether etcd wants users at all, asked with ours. Raises BadCredentials and other StoreError."""
        try:
            return bool(await self._calls.token(self._nodes[0], timeout))
        except Failed as failed:
            raise failed.error(f"authenticate at {self._nodes[0].name}", write=False) from failed

    async def alarms(self, timeout: float) -> tuple[tuple[int, str], ...]:
        """Member ids and what each has raised: "NOSPACE", "CORRUPT". Raises StoreError."""
        answer = await self._calls.ask(Call("alarms", "alarm", pb.AlarmRequest()), timeout)
        return tuple((each.memberID, _ALARMS.get(each.alarm, str(each.alarm))) for each in answer.alarms)

    async def roles(self, timeout: float) -> tuple[str, ...]:
        """Return the roles of our user, which etcd tells the user itself. Raises StoreError."""
        answer = await self._calls.ask(Call("user", "user", pb.AuthUserGetRequest(name=self._user)), timeout)
        return tuple(answer.roles)

    def trials(self) -> Sequence[Trial]:
        """All that the service reads and writes, but for the watch and the lease."""
        layout = self._layout
        places = (
            (f"{layout.prefix}/config/…", layout.documents, layout.document("\0doctor")),
            (f"{layout.prefix}/version", layout.version, layout.version),
            (f"{layout.prefix}/fleet", layout.fleet, layout.fleet),
            (f"{layout.prefix}/members/…", layout.members, layout.member(0)),
            (f"{layout.prefix}/policy", layout.policy, layout.policy),
            (f"{layout.prefix}/intents/…", layout.intents, layout.intent("doctor")),
            (f"{layout.prefix}/past/…", layout.pasts, layout.past("\0doctor")),
        )
        reads = [Trial(False, keys, _look(key, ranged=key.endswith(b"/"))) for keys, key, _ in places]
        return reads + [Trial(True, keys, _never(key)) for keys, _, key in places]

    async def attempt(self, trial: Trial, timeout: float) -> None:
        """Returns if etcd permits it. Raises Denied, NoSpace and other StoreError."""
        if trial.write:
            await self._calls.send(Call("attempt", "txn", trial.request, write=True), timeout)
        else:
            await self._calls.ask(Call("attempt", "range", trial.request), timeout)

    async def weigh_past(self, most_bytes: int, timeout: float) -> Weight:
        """What records of changes take (rule 19), looked at up to `most_bytes`. timeout: of each call.

        It is not what they took at one revision: that may be compacted while they are looked at. Raises StoreError.
        """
        first, end = self._layout.pasts, range_end(self._layout.pasts)
        counting = pb.RangeRequest(key=first, range_end=end, count_only=True)
        counted = await self._calls.ask(Call("count", "range", counting), timeout)
        seen = total = 0
        limit, more = FIRST_PAGE, counted.count > 0
        while more and total < most_bytes:
            try:
                request = pb.RangeRequest(key=first, range_end=end, limit=limit)
                page = await self._calls.ask(Call("weigh", "range", request), timeout)
            except TooLarge:
                if limit == 1:
                    raise
                limit //= 2
                continue
            size = sum(len(each.key) + len(each.value) for each in page.kvs)
            seen, total, more = seen + len(page.kvs), total + size, page.more
            first = successor(page.kvs[-1].key) if page.kvs else first
            limit = max(1, min(MOST_OF_A_PAGE, limit * PAGE_BYTES // max(1, size)))
        return Weight(counted.count, total if not more else total * counted.count // seen, whole=not more)

    async def read(self, timeout: float) -> None:
        """The linearizable read that every proof is. Raises StoreError."""
        await self._calls.ask(self._cheap_read, timeout)

    async def write(self, nonce: str, lease: int, timeout: float) -> None:
        """Writes a key that means nothing, and ends with the lease. Raises StoreError."""
        put = pb.RequestOp(
            request_put=pb.PutRequest(key=self._layout.doctor(nonce), value=b"a trial of writing", lease=lease)
        )
        await self._calls.send(Call("write", "txn", pb.TxnRequest(success=(put,)), write=True), timeout)


def _told(endpoint: str, answer: Any) -> MemberStatus:
    younger = {field.field_number: field.data for field in UnknownFieldSet(answer)}
    return MemberStatus(
        endpoint=endpoint,
        version=answer.version,
        cluster=answer.header.cluster_id,
        member=answer.header.member_id,
        leader=answer.leader,
        learner=bool(younger.get(_LEARNER, 0)),
        db_bytes=answer.dbSize,
        in_use_bytes=younger.get(_DB_IN_USE, answer.dbSize),
        quota_bytes=younger.get(_QUOTA, 0),
    )


def _identified(endpoint: str, answer: Any) -> MemberStatus:
    return MemberStatus(endpoint, cluster=answer.header.cluster_id, member=answer.header.member_id)


def _look(key: bytes, *, ranged: bool) -> Any:
    return pb.RangeRequest(key=key, range_end=range_end(key) if ranged else b"", limit=1, keys_only=True)


def _never(key: bytes) -> Any:
    """A put under a condition that no key fulfils: a create_revision below 0."""
    never = pb.Compare(key=key, target=pb.Compare.CREATE, result=pb.Compare.LESS, create_revision=0)
    put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=b""))
    return pb.TxnRequest(compare=(never,), success=(put,))
