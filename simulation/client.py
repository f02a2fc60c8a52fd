"""What clients do: each plays its part of the plan, one operation after the other, and writes down what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from consistency.core.model import NOBODY, Applied, Author, PreconditionFailed, Reading, Written, WrongTimeline
from simulation.instance import Instance
from simulation.life import Gone
from simulation.loop import Loop
from simulation.plan import Ask
from simulation.policies import reason
from simulation.record import Order
from simulation.requests import Wanted, ended, is_unknown, work
from torture.history import Kind, Level, Operation, Outcome, Remembers

PATIENCE = 5.0
"""Virtual seconds that a client waits: more than the service's own limit."""

SESSION_LENGTH = 100
"""Operations until a client forgets its session and begins another."""

LAST_LOOK = 1000
"""Clients from this number on look at everything at the end, one for each instance."""

LAST_WORD = 1000
"""So much higher still are the numbers of those who must see by now what was written past the service."""

DECIDED = (200, 504)
"""After these half of the clients look at once, where they have written, what is there: 504 says that nobody knows."""

Record = Callable[[Operation], None]
Sign = Callable[[Order], None]


class Client:
    """See the module's opening. `known`: the mod_revisions that it has seen, by key; `seen`, `wrote`: its session."""

    def __init__(
        self, number: int, loop: Loop, instances: Sequence[Instance], numbers: Iterator[int], record: Record,
        sign: Sign, problem: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.number = number
        self._remembers = tuple(Remembers)[number % 3]
        self._loop = loop
        self._instances = instances
        self._numbers = numbers
        self._record = record
        self._sign = sign
        self._problem = problem
        self._known: dict[str, int] = {}
        self._values = 0
        self._orders = 0
        self._sessions = 0
        self._begin()

    def _begin(self) -> None:
        self._sessions += 1
        self._session = "" if self._remembers is Remembers.NOTHING else f"{self.number}.{self._sessions}"
        self._left = SESSION_LENGTH
        self._seen = 0
        self._wrote = 0

    async def play(self, asks: Sequence[Ask], begun: float, until: float) -> None:
        """One after the other, but none after `until`."""
        for ask in asks:
            due = begun + ask.at
            if max(due, self._loop.now) > until:
                return
            if due > self._loop.now:
                await asyncio.sleep(due - self._loop.now)
            if await self.do(ask) in DECIDED and ask.kind is not Kind.READ and self.number % 2 == 0:
                await self.do(Ask(ask.client, ask.at, ask.instance, Kind.READ, Level.DEFAULT, ask.keys[:1]))

    async def do(self, ask: Ask) -> int:
        """One operation; the status that the service would answer, 0 for none."""
        if not self._left:
            self._begin()
        self._left -= 1
        token = self._token(ask)
        instance = self._instances[ask.instance]
        life, invoked = instance.alive, self._loop.now
        wanted = self._wanted(ask)
        author = self._signed(wanted) if wanted else NOBODY
        told: Reading | Written | Applied | BaseException
        try:
            if life is None:
                raise Gone("refused")
            if (
                ask.level is Level.DEFAULT
                and ask.kind is Kind.READ
                and life.runs
                and (hit := life.cache.hit(ask.keys[0], token))
            ):
                told = hit
            else:
                told = await life.answer(
                    work(life.cache, ask, wanted, token, self._asked(ask), author), ask.patience or PATIENCE
                )
        except Exception as error:  # noqa: BLE001  # told apart below; one that is not foreseen is a problem
            told = error
        return self._note(ask, wanted, token, invoked, told)

    # --- what is asked for

    def _token(self, ask: Ask) -> int:
        """The newest revision that its session names; 0 also where the session can't be understood."""
        if ask.level is Level.PAST or ask.kind is not Kind.READ or is_unknown(ask):
            return 0
        return {Remembers.NOTHING: 0, Remembers.WRITES: self._wrote, Remembers.ALL: max(self._seen, self._wrote)}[
            self._remembers
        ]

    def _wanted(self, ask: Ask) -> Wanted:
        if ask.kind is Kind.READ:
            return ()
        wanted = []
        for key, delete, condition in zip(ask.keys, ask.deletes, ask.conditions, strict=True):
            self._values += not delete
            known = self._known.get(key, 0)
            named = condition if condition != "known" else str(known or ("exists" if delete else "absent"))
            wanted.append((key, None if delete else f'"{self.number}-{self._values}{"." * ask.size}"', named))
        return tuple(wanted)

    def _signed(self, wanted: Wanted) -> Author:
        """The author of a write, its request and its reason; kept for the comparison with etcd."""
        self._orders += 1
        request = f"{self.number}.{self._orders}"
        author = Author(f"client {self.number}", request, reason(request, self._orders))
        self._sign(Order(author, {key: value for key, value, _ in wanted}))
        return author

    def _asked(self, ask: Ask) -> int:
        return max(1, self._seen - ask.asked) if ask.level is Level.PAST else ask.asked

    # --- what it was told

    def _note(
        self, ask: Ask, wanted: Wanted, token: int, invoked: float,
        told: Reading | Written | Applied | BaseException,
    ) -> int:  # fmt: skip
        batch = ask.kind is Kind.BATCH
        asked = self._asked(ask)
        outcome, status = ended(ask.kind, told)
        if status == 500:
            self._problem(f"client {self.number}: {type(told).__name__}: {told}")
        refusal = told if isinstance(told, PreconditionFailed) else None
        value = wanted[0][1] if wanted and not batch else None
        modified, revision, cache, age = refusal.current if refusal else 0, 0, "", 0.0
        if isinstance(told, Reading):
            value = None if told.value is None else told.value.decode()
            rate = self._instances[ask.instance].machine.rate
            modified, revision, cache, age = told.mod_revision, told.revision, told.source.value, told.age / rate
            status = 404 if told.value is None else 200
        elif isinstance(told, Written | Applied):
            revision = told.revision
            modified = revision if ask.kind is Kind.PUT else 0
        self._record(
            Operation(
                number=next(self._numbers),
                client=self.number,
                session=self._session,
                remembers=self._remembers,
                instance=ask.instance,
                kind=ask.kind,
                level=ask.level,
                key="" if batch else ask.keys[0],
                value=value,
                invoked=invoked,
                returned=self._loop.now,
                outcome=outcome,
                status=status,
                modified=modified,
                revision=revision,
                cache=cache,
                age=age,
                token=token,
                condition=wanted[0][2] if wanted and not batch else "",
                asked=asked,
                batch=tuple((key, new) for key, new, _ in wanted) if batch else (),
                conditions=tuple(condition for *_, condition in wanted) if batch else (),
                refusing=refusal.key if refusal else "",
                note=str(told) if isinstance(told, BaseException) else "",
            )
        )
        if outcome is Outcome.OK and ask.level is not Level.PAST:
            self._remember(ask, modified, revision)
        elif isinstance(told, WrongTimeline):
            self._begin()
        return status

    def _remember(self, ask: Ask, modified: int, revision: int) -> None:
        self._seen = max(self._seen, revision)
        if ask.kind is not Kind.READ:
            self._wrote = max(self._wrote, revision)
        if ask.kind is not Kind.BATCH:
            self._known[ask.keys[0]] = modified
