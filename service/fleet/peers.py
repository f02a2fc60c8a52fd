"""What the members of the fleet say: each is asked over HTTP, at the address that stands in its member key.

Never at an address from a request. Nowhere else does a client's token leave this instance, and it goes to an address
only once who listens there has proven to be an instance with that address (`service.fleet.proofs`). Where there are no
tokens, nothing goes along. An instance that speaks HTTPS sends tokens over HTTPS alone, whatever stands in etcd: who
may write there could else have them sent in the open. Redirections are answers like any other.

All members are asked side by side; whoever has not answered in time, name and proof included, is left. Belongs to one
loop; owns no task that outlives a question but the lookups of names. Does not bound how many questions there are: who
asks does (`service.fleet.questions`).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from consistency.core.model import Member
from service.auth.keyring import Keyring
from service.fleet.addresses import HTTPS, is_address
from service.fleet.foreign import Said
from service.fleet.members import describe
from service.fleet.names import Names, UnknownName
from service.fleet.proofs import Bearer
from service.tls.trust import Trust

ANSWER_WITHIN = 1.5
"""Seconds for all of them together: a member that hangs must not make the page look as if all did."""

NO_ANSWER = f"no answer within {ANSWER_WITHIN:g} s"
NOT_RESOLVED = f"no answer from the name server of its address within {ANSWER_WITHIN:g} s"

PLAIN = "speaks plain HTTP, over which this instance sends no token; not asked"

Ask = Callable[[str, Sequence[str], str, Bearer | None, Trust | None], Awaitable[Said]]
"""See `service.fleet.connection.ask`."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one member answered. `why_not` is empty, or says why there is no answer; then the status is 0."""

    member: Member
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    seconds: float = 0.0
    why_not: str = ""


class Peers:
    """Asks the others. Without a keyring there are no tokens. trust: for those that speak HTTPS."""

    def __init__(self, names: Names, keyring: Keyring | None = None, trust: Trust | None = None) -> None:
        self._trust = trust or Trust()
        self._names = names
        self._keyring = keyring
        self._ask: Ask | None = None  # once it has been needed

    def bearer(self, authorization: str) -> Bearer | None:
        """The header to send along for a client that sent this one: nothing but a token of this fleet."""
        token = self._keyring.bearers.find(authorization) if self._keyring else None
        return Bearer(authorization, token) if token else None

    async def ask(self, members: Sequence[Member], target: str, bearer: Bearer | None) -> list[Heard]:
        """GET `target` of each, in their order, with the token of who asks. Takes ANSWER_WITHIN, and a moment more.

        bearer: of the asker, since nobody may learn more by this way.
        """
        if not members:
            return []
        if self._ask is None:
            self._ask = await asyncio.to_thread(_load)
        if any(_speaks_https(member) for member in members):
            with contextlib.suppress(OSError):  # which each of them is told of
                await asyncio.to_thread(self._trust.context)  # loads files
        until = asyncio.get_running_loop().time() + ANSWER_WITHIN
        calls = []
        async with asyncio.TaskGroup() as group:
            for member in members:
                calls.append(group.create_task(self._call(self._ask, member, target, bearer, until)))
                await asyncio.sleep(0)  # the first steps of all of them would hold the loop for 20 ms
        return [call.result() for call in calls]

    async def _call(self, ask: Ask, member: Member, target: str, bearer: Bearer | None, until: float) -> Heard:
        address, by_tls = describe(member).get("address"), _speaks_https(member)
        if not is_address(address):
            return Heard(member, why_not="it does not say where it can be reached")
        if bearer and self._trust.demands_https and not by_tls:
            return Heard(member, why_not=PLAIN)
        host = str(address).rpartition(":")[0].strip("[]")
        asked, late = time.monotonic(), NOT_RESOLVED
        try:
            async with asyncio.timeout_at(until):
                found = await self._names.addresses(host)
                late = NO_ANSWER
                said = await ask(str(address), found, target, bearer, self._trust if by_tls else None)
        except TimeoutError:
            said = Said(why_not=late)
        except UnknownName:
            said = Said(why_not="its name is not known here")
        if said.why_not:
            self._names.doubt(host)
        return Heard(member, said.status, said.headers, said.body, time.monotonic() - asked, said.why_not)


def _speaks_https(member: Member) -> bool:
    return describe(member).get("scheme") == HTTPS


def _load() -> Ask:
    """Load httpx at the first question to the fleet. It takes 4 MB, and a third of a second, so not on the loop."""
    return cast(Ask, importlib.import_module("service.fleet.connection").ask)
