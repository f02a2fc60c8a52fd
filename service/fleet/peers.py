"""What the members of the fleet say: each is asked over HTTP, at the address that stands in its member key.

Never at an address from a request. Nowhere else does a client's token leave this instance, and it goes to an address
only once who listens there has proven to be an instance with that address (`service.fleet.proofs`). Where there are no
tokens, nothing goes along. Redirections are answers like any other.

Owns the bound on how much is asked at once, and no thread beyond a question: all members are asked side by side, and
whoever has not answered in time is left.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlencode

from consistency.core.model import Member
from service.auth.keyring import Keyring
from service.auth.tokens import Token
from service.fleet.addresses import is_address
from service.fleet.foreign import read_object
from service.fleet.members import describe
from service.fleet.proofs import Challenge
from service.http.problems import refused

ANSWER_WITHIN = 1.5
"""Seconds for all of them together: a member that hangs must not make the page look as if all did."""

AT_ONCE = 4
"""Questions to the fleet that are under way at the same time; each may ask all 64, and as many that wait for a slot."""

LONGEST = 64 * 1024
"""Bytes of an answer that are read."""

LONGEST_WORDS = 200
"""Characters of what went wrong: some errors repeat what the other side said."""

PROOF = "/members/proof"
"""Where each instance proves its address."""

NOT_PROVEN = "did not prove that its address is its own; not asked"


class NotProven(Exception):
    """Who listens there is an instance of an earlier release, or none of ours."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """What is sent along: the header, and the token that it bears."""

    header: str
    token: Token


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
    """Asks the others. Safe for use from many threads. Without a keyring there are no tokens."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def ask(self, members: Sequence[Member], target: str, authorization: str) -> list[Heard]:
        """GET `target` of each, in their order. Takes ANSWER_WITHIN at most.

        authorization: what the asker sent, since nobody may learn more by this way. Raises Refused (503).
        """
        if not members:
            return []
        bearer = self._bearer(authorization)
        # A thread for each: whoever hangs must not make the next one late.
        with self._place(), ThreadPoolExecutor(len(members), "peers") as threads:
            calls = [_Call(member, time.monotonic() + ANSWER_WITHIN) for member in members]
            answers = [threads.submit(call.make, target, bearer) for call in calls]
            wait(answers, ANSWER_WITHIN)
            for call in calls:
                call.end()
            return [answer.result() for answer in answers]

    def _bearer(self, authorization: str) -> Bearer | None:
        """What to send along: nothing that is not a token of this fleet."""
        token = self._keyring.bearers.find(authorization) if self._keyring else None
        return Bearer(authorization, token) if token else None

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            detail = f"{AT_ONCE} others are asking the whole fleet already; not asked."
            raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-questions", detail, retry_after=1)
        try:
            yield
        finally:
            self._free.release()


class _Call:
    """One request, and the end of it: a socket's own timeout begins anew with each byte that comes."""

    def __init__(self, member: Member, until: float) -> None:
        self._member = member
        self._until = until
        self._socket: socket.socket | None = None

    def make(self, target: str, bearer: Bearer | None) -> Heard:
        """The answer, or why there is none."""
        address = describe(self._member).get("address")
        if not is_address(address):
            return Heard(self._member, why_not="it does not say where it can be reached")
        asked = time.monotonic()
        try:
            answer, body = self._get(str(address), target, bearer)
        except NotProven:
            return Heard(self._member, why_not=NOT_PROVEN)
        except (OSError, HTTPException, ValueError) as error:  # ValueError: of an address after all
            late = time.monotonic() >= self._until  # then it may be `end` that made it fail
            return Heard(self._member, why_not=f"no answer within {ANSWER_WITHIN:g} s" if late else _words(error))
        named = tuple((name.lower(), value) for name, value in answer.getheaders())
        seconds = time.monotonic() - asked
        return Heard(self._member, answer.status, named, body, seconds)

    def _get(self, address: str, target: str, bearer: Bearer | None) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(address, timeout=max(0.001, self._until - time.monotonic()))
        with contextlib.closing(connection):
            connection.connect()
            self._socket = connection.sock
            headers = {}
            if bearer:
                _demand_proof(connection, Challenge.to(address, bearer.token))
                headers["Authorization"] = bearer.header
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            body = answer.read(LONGEST)
            if time.monotonic() >= self._until:
                raise TimeoutError  # a connection that was ended looks like the end of a body
            return answer, body

    def end(self) -> None:
        """Whatever the other side does. Nothing if it has ended by itself."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


def _demand_proof(connection: HTTPConnection, challenge: Challenge) -> None:
    """Raises NotProven, unless the other side has proven itself and the connection is still the same."""
    connection.request("GET", f"{PROOF}?{urlencode(asdict(challenge.ask))}")
    answer = connection.getresponse()
    said = read_object(answer.read(LONGEST))
    proof = said.get("proof") if said else None
    # Once closed it would be opened again, by itself, for the next request: to whoever listens there then.
    if answer.status != HTTPStatus.OK or not challenge.is_met_by(proof) or connection.sock is None:
        raise NotProven


def _words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known here"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens at its address"
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_WITHIN:g} s"
    return f"{type(error).__name__}: {error}"[:LONGEST_WORDS]
