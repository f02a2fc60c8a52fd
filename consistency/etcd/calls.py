"""How calls to etcd are made: reads fail over, writes are sent once, a refused token is renewed.

Owns which endpoint is asked, what is remembered of each, and the translation of gRPC's errors, which `EtcdNode` alone
sees. The clock is a parameter. No connection is made before the first call, so that a store can be built before a fork.
The rules:

  A read asks one endpoint for as long as that answers, else the others, while its time lasts and one seems alive.
  Only etcd's own words about a request are an answer; whatever else comes back is the endpoint's failure.
  A write goes to an endpoint that answered within TRUST seconds; without one, something cheap is read first. So a dead
  etcd makes a write Unavailable (nothing was sent), and OutcomeUnknown is left to the moment in which it dies.
  A write goes to a second endpoint only if the first certainly did nothing; never after OutcomeUnknown.
  A token that is refused is renewed once, and the call made once more: etcd refuses before it does anything.

  The first endpoint that does not fail is asked first, in the order in which they are configured.
  One that failed is passed over until it has answered again: because all others failed too, or because it was looked at
  again. That happens after FIRST_LOOK seconds, and later each time that it fails anew: to go back to an endpoint that
  keeps failing costs a call each time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from tenacity import AsyncRetrying, retry_if_exception_type

from consistency.core.events import EndpointDown, EndpointUp, Observer, StoreCalled
from consistency.core.store import OutcomeUnknown, StoreError, Unavailable
from consistency.etcd.channels import BACKOFF, Connect, connect, methods
from consistency.etcd.config import Endpoint, EtcdConfig
from consistency.etcd.errors import Diagnosis, Failed, diagnose
from consistency.etcd.failover import LEAST, Turns
from consistency.etcd.identity import Identity
from consistency.etcd.token import Tokens
from consistency.tasks import Errands, is_to_end, within


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC: what observers call it, which method, the request, and whether it changes anything."""

    kind: str
    method: str
    request: Any = field(repr=False)  # it may hold a password
    write: bool = False


class Node(Protocol):
    """One endpoint of etcd."""

    @property
    def name(self) -> str:
        """Its URL."""

    async def rpc(self, call: Call, timeout: float, token: str) -> Any:
        """Makes the call; the answer, whose `header` bears a `cluster_id`. Raises Failed."""


# One endpoint

_WITH_LEADER = ("hasleader", "true")  # a member cut off from the others says so at once, instead of falling silent

_CLOSED = Diagnosis(Unavailable, "the store is closed", connected=False)
_CUT_OFF = Diagnosis(OutcomeUnknown, "the store was closed meanwhile")


class EtcdNode:
    """One endpoint: its two channels, made at the first call, on the loop that makes it.

    The second channel is for the streams: a watch that shares a connection with heavy reads starves (etcd #15402).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: EtcdConfig,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = endpoint.url
        self._endpoint = endpoint
        self._config = config
        self._connect = connect
        self._clock = clock
        self._channels: tuple[Any, ...] = ()
        self._methods: dict[str, Callable[..., Any]] = {}
        self._closed = False

    async def rpc(self, call: Call, timeout: float, token: str, *, leader: bool = True) -> Any:
        """See Node. Without `leader` a member answers even if it knows none."""
        started = self._clock()
        method, metadata = self._method(call.method), metadata_for(token, leader=leader)
        try:
            return await method(call.request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise Failed(diagnose_rpc(error, self._clock() - started)) from error
        except grpc.aio.UsageError as error:  # how gRPC says that a channel is closed
            raise Failed(_CLOSED) from error
        except asyncio.CancelledError as error:
            if is_to_end():
                raise
            raise Failed(_CUT_OFF if call.write else _CLOSED) from error

    def stream(self, method: str, **arguments: Any) -> Any:
        """Begin a streaming RPC. Raises Failed once closed."""
        return self._method(method)(**arguments)

    async def close(self) -> None:
        """End the calls under way; later ones fail. Lets go of the channels: gRPC's thread lives as long as they."""
        self._closed = True
        channels, self._channels, self._methods = self._channels, (), {}
        for channel in channels:
            await channel.close()

    def _method(self, name: str) -> Callable[..., Any]:
        if self._closed:
            raise Failed(_CLOSED)
        if not self._methods:
            data, streams = self._channels = tuple(self._connect(self._endpoint, self._config) for _ in range(2))
            self._methods = methods(data, streams)
        return self._methods[name]


def metadata_for(token: str, *, leader: bool = True) -> tuple[tuple[str, str], ...]:
    """What goes along with a call. `token`: of the user; "" without one. `leader`: whether it demands one."""
    demand = (_WITH_LEADER,) if leader else ()
    return (*demand, ("token", token)) if token else demand


def diagnose_rpc(error: Any, seconds: float) -> Diagnosis:
    """What a grpc.RpcError means that came after so many seconds."""
    return diagnose(error.code().name, error.details() or "", seconds)


# What is known of each endpoint

TRUST = 1.0
"""Seconds for which an endpoint that answered is trusted with a write."""

FIRST_LOOK = 1.0
"""Seconds until an endpoint that failed is looked at again."""

LAST_LOOK = 30.0
"""Seconds between two looks at most. An endpoint that was well for so long is looked at after FIRST_LOOK again."""


@dataclass(slots=True)
class _EndpointHealth:
    answered: float = float("-inf")
    up: bool | None = None  # None: it was not asked yet
    up_since: float = float("-inf")  # when it answered last, having failed before
    pause: float = 0.0  # how long it is left alone
    due: float = 0.0  # when to look again


class Health:
    """How each endpoint is: whether it answers, which one to begin with, and which to look at again. Asks nobody.

    Tells of each change, once. Belongs to one loop. `names` are the endpoints, as the events call them; `index` counts
    in their order. on_down: called when one begins to fail.
    """

    def __init__(
        self,
        names: Sequence[str],
        observer: Observer,
        clock: Callable[[], float],
        on_down: Callable[[], object] = lambda: None,
    ) -> None:
        self._names = names
        self._observer = observer
        self._clock = clock
        self._on_down = on_down
        self._endpoints = [_EndpointHealth() for _ in names]
        self.first = 0
        """The index of the endpoint to begin with."""
        self.refusals_count_from = float("-inf")
        """The moment from which on nobody is there if every endpoint refuses. Until then one that is back may still
        count as refusing:

          1. Endpoint A is away, and gRPC finds it refusing.
          2. A comes back. gRPC looks again half a second later, and calls go on being refused for so long.
          3. Meanwhile B goes, which has answered until now: all refuse, and A is there.
        """

    def trusts(self, index: int) -> bool:
        """Whether it answered so lately that a write may go there unasked."""
        return self._endpoints[index].answered + TRUST >= self._clock()

    def answered(self, index: int) -> None:
        """It gave an answer."""
        endpoint = self._endpoints[index]
        endpoint.answered = self._clock()
        if len(self._endpoints) > 1:  # one alone refuses when it does: there was no call that found out before
            self.refusals_count_from = endpoint.answered + 1.5 * BACKOFF  # gRPC adds a fifth by chance
        turned, endpoint.up = not endpoint.up, True
        if turned:
            endpoint.up_since = endpoint.answered
        self.first = min(self.first, index)
        if turned:
            self._observer(EndpointUp(self._names[index]))

    def failed(self, index: int, finding: str, *, looking: bool = False) -> None:
        """It is to blame for a call that failed. `looking`: the call had no other purpose than to find out.

        The next call begins with another endpoint, and no write goes to this one before it is asked.
        """
        now = self._clock()
        endpoint = self._endpoints[index]
        endpoint.answered = float("-inf")
        turned, endpoint.up = endpoint.up is not False, False
        if turned or looking:
            well_for_long = turned and now - endpoint.up_since > LAST_LOOK
            endpoint.pause = FIRST_LOOK if well_for_long else min(2 * endpoint.pause or FIRST_LOOK, LAST_LOOK)
            endpoint.due = now + endpoint.pause
        if self.first == index:
            self.first = self._next(index)
        if turned or looking:
            self._observer(EndpointDown(self._names[index], finding))
        if turned:
            self._on_down()

    def due(self) -> list[int]:
        """Those that fail, and should be looked at again by now."""
        now = self._clock()
        return [index for index, each in enumerate(self._endpoints) if each.up is False and each.due <= now]

    def next_look(self) -> float:
        """Seconds until the first of those that fail is due; LAST_LOOK if none does."""
        now = self._clock()
        waits = [each.due - now for each in self._endpoints if each.up is False]
        return max(0.0, min(waits, default=LAST_LOOK))

    def _next(self, index: int) -> int:
        """The one to begin with now that this one failed: the first that doesn't fail, or else just the next."""
        well = (other for other, each in enumerate(self._endpoints) if each.up is not False)
        return next(well, (index + 1) % len(self._endpoints))


# Which one is asked

N = TypeVar("N", bound=Node)


class Calls(Generic[N]):
    """Belongs to one loop. `probe` is a cheap linearizable read, `login` asks for a token (None: no user).

    on_down: called when an endpoint begins to fail; `look_again` is to be called from then on.
    for_life, member: see `Identity`.
    """

    def __init__(
        self,
        nodes: Sequence[N],
        probe: Call,
        login: Call | None,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] | None = None,
        on_down: Callable[[], object] = lambda: None,
        *,
        for_life: bool = False,
        member: int = 0,
    ) -> None:
        self._nodes = nodes
        self._probe = probe
        self._login = login
        self._observer = observer
        self._clock = clock
        self._errands = Errands(observer)
        self._tokens = Tokens(self._errands, clock)
        self._closing = asyncio.Event()
        self._sleep = sleep or self._nap
        self._identity = Identity(len(nodes), clock, for_life=for_life, member=member)
        self._health = Health([node.name for node in nodes], observer, clock, on_down)

    def close(self) -> None:
        """Ends the pauses between the turns of reads under way."""
        self._closing.set()

    async def ended(self, timeout: float) -> bool:
        """Wait for what is under way for all, once the nodes are closed; whether it has ended within `timeout`."""
        return await self._errands.stop(timeout)

    # --- reads

    async def ask(self, call: Call, timeout: float) -> Any:
        """A read: the answer. Raises what the diagnosis means, Unavailable when no endpoint gave one."""
        return (await self._find(call, timeout))[1]

    async def find(self, call: Call, timeout: float) -> tuple[N, Any]:
        """A read: who answered, and what. Raises as `ask` does."""
        index, answer = await self._find(call, timeout)
        return self._nodes[index], answer

    async def probe(self, timeout: float) -> N:
        """An endpoint that has just answered, with a token that it takes. Raises Unavailable, Denied."""
        return (await self.find(self._probe, timeout))[0]

    async def answering(self, timeout: float) -> AsyncIterator[N]:
        """The endpoints that have just answered the probe, with a token that they take, each of them once.

        Raises what `probe` raises if not even the first one is found.
        """
        deadline = self._clock() + timeout
        first, _ = await self._find(self._probe, timeout)
        yield self._nodes[first]
        for step in range(1, len(self._nodes)):
            index, left = (first + step) % len(self._nodes), deadline - self._clock()
            try:
                await self._attempt(self._probe, index, max(LEAST, left / (len(self._nodes) - step)))
            except Failed as failed:
                self._failed(index, failed)
            else:
                yield self._nodes[index]

    async def _find(self, call: Call, timeout: float) -> tuple[int, Any]:
        names, health = [node.name for node in self._nodes], self._health
        turns = Turns(names, health.first, timeout, self._clock, health.refusals_count_from)
        try:
            return await self._take_turn(call, turns)  # the usual case does without the machinery below
        except Failed as failed:
            if turns.over():
                raise turns.error() from failed
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Failed),
            stop=lambda _: turns.over() or self._closing.is_set(),
            wait=lambda _: turns.pause(),
            sleep=self._pause,
            retry_error_callback=lambda _: _give_up(turns),
        )
        found: tuple[int, Any] = await retrying(self._take_turn, call, turns)
        return found

    async def _take_turn(self, call: Call, turns: Turns) -> tuple[int, Any]:
        index, seconds = turns.take()
        try:
            return index, await self._attempt(call, index, seconds)
        except Failed as failed:
            if not failed.diagnosis.may_be_better_elsewhere:
                raise self._error(call, index, failed, turns.said()) from failed
            turns.failed(index, failed.diagnosis)
            self._failed(index, failed)
            raise

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def _nap(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        await within(self._closing, seconds)

    # --- writes

    async def send(self, call: Call, timeout: float) -> Any:
        """A write: the answer. Raises what the diagnosis means; Unavailable when it was certainly not done."""
        deadline, said = self._clock() + timeout, ""
        for others in reversed(range(len(self._nodes) + 1)):
            index = await self._trusted(deadline)
            left = deadline - self._clock()
            if left < LEAST:
                break
            try:
                return await self._attempt(call, index, left)
            except Failed as failed:
                self._failed(index, failed)
                if not (failed.diagnosis.certainly_not_done and others):
                    raise self._error(call, index, failed, said) from failed
                said += f"at {self._nodes[index].name}: {failed.diagnosis.finding}; "
        raise Unavailable(f"{call.kind} {said}was not sent: no time left of {timeout:.1f} s")

    async def _trusted(self, deadline: float) -> int:
        """The index of an endpoint fit for a write. Finding it may take most of the time left: a cluster that elects a
        leader needs a second or two, and once somebody answers the write itself is quick."""
        index = self._health.first
        if not self._health.trusts(index):
            index, _ = await self._find(self._probe, (deadline - self._clock()) * 0.75)
        return index

    # --- endpoints that fail

    def stream_failed(self, node: N, failed: Failed) -> None:
        """A stream could not be opened at this endpoint, and may be better elsewhere."""
        self._failed(self._nodes.index(node), failed)

    async def look_again(self, timeout: float) -> float:
        """Ask the endpoints that fail and are due, each for `timeout` seconds at most; seconds until the next one is.

        One that answers is used again. It is asked for what every proof is, with the user's token.
        """
        for index in self._health.due():
            try:
                await self._attempt(self._probe, index, timeout)
            except Failed as failed:
                self._failed(index, failed, looking=True)
        return self._health.next_look()

    def _failed(self, index: int, failed: Failed, *, looking: bool = False) -> None:
        if self._closing.is_set():
            return  # it was we who ended the call
        if failed.diagnosis.may_be_better_elsewhere:
            self._health.failed(index, failed.diagnosis.finding, looking=looking)
        else:
            self._health.answered(index)  # what it said is about the request

    # --- both

    async def token(self, node: N, timeout: float, refused: str | None = None) -> str:
        """The token to send, another one than the `refused` one; "" when etcd wants none. Raises Failed."""
        login = self._login
        if login is None:
            return ""
        try:
            return await self._tokens.other_than(
                refused, node.name, lambda: self._authenticate(login, node, timeout), timeout
            )
        except TimeoutError as error:
            raise Failed(Diagnosis(Unavailable, f"no token within {timeout:.1f} s")) from error

    async def _authenticate(self, login: Call, node: N, timeout: float) -> str:
        try:
            return str((await self._rpc(login, node, timeout, "")).token)
        except Failed as failed:
            if "authentication is not enabled" in failed.diagnosis.finding:
                return ""
            raise

    async def _attempt(self, call: Call, index: int, timeout: float) -> Any:
        """The call at one endpoint, with a new token if the old one is refused."""
        node, deadline = self._nodes[index], self._clock() + timeout
        token = await self.token(node, timeout)
        try:
            answer = await self._rpc(call, node, timeout, token)
        except Failed as failed:
            if self._login is None or not failed.diagnosis.token_refused:
                raise
            left = deadline - self._clock()
            answer = await self._rpc(call, node, left, await self.token(node, left, refused=token))
        self._health.answered(index)
        return answer

    async def _rpc(self, call: Call, node: N, timeout: float, token: str) -> Any:
        """One RPC, observed."""
        started, outcome = self._clock(), "ok"
        try:
            answer = await node.rpc(call, timeout, token)
            self._admit(call, node, answer)
            return answer
        except Failed as failed:
            outcome = snake_case(failed.diagnosis.meaning(write=call.write))
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._observer(StoreCalled(call.kind, outcome, self._clock() - started))

    def _admit(self, call: Call, node: N, answer: Any) -> None:
        """Raises Failed if this is no answer of our cluster.

        A write that another cluster has done is done: its answer shows the cache that the history is another.
        """
        header = answer.header
        if call.write and header.cluster_id:
            return
        if objection := self._identity.objection(self._nodes.index(node), header.cluster_id, header.member_id):
            raise Failed(Diagnosis(OutcomeUnknown, objection, foreign=True))

    def _error(self, call: Call, index: int, failed: Failed, said: str) -> StoreError:
        """`said`: what the endpoints asked before this one did."""
        return failed.error(f"{call.kind} {said}at {self._nodes[index].name}", write=call.write)


def snake_case(error: type[StoreError]) -> str:
    """What observers call an error: "outcome_unknown"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", error.__name__).lower()


def _give_up(turns: Turns) -> NoReturn:
    raise turns.error()
