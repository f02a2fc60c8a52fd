"""How calls to etcd are made: reads fail over, writes are sent once, a refused token is renewed. Imports no gRPC.

Owns which endpoint is asked; what is known of each is kept by `etcd_health`. The rules:

  A read asks one endpoint for as long as that answers, else the others, while its time lasts and one seems alive.
  Only etcd's own words about a request are an answer; whatever else comes back is the endpoint's failure.
  A write goes to an endpoint that answered within TRUST seconds; without one, something cheap is read first. So a dead
  etcd makes a write Unavailable (nothing was sent), and OutcomeUnknown is left to the moment in which it dies.
  A write goes to a second endpoint only if the first certainly did nothing; never after OutcomeUnknown.
  A token that is refused is renewed once, and the call made once more: etcd refuses before it does anything.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type

from consistency.core.events import Observer, StoreCalled
from consistency.core.store import OutcomeUnknown, StoreError, Unavailable
from consistency.etcd.errors import Diagnosis, Failed
from consistency.etcd.failover import LEAST, Turns
from consistency.etcd.health import Health
from consistency.etcd.identity import Identity
from consistency.etcd.token import Tokens
from consistency.tasks import Errands, within


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
