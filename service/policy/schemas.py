"""Holds documents against schemas, one question at a time, in a process that is started when the first one is asked.

Owns that process. Whatever a question does to it, the next one finds a process that answers.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from consistency.tasks import Budget
from service.http.problems import Refused, refused
from service.policy import questions
from service.policy.faults import MOST_TOLD, Fault, Faults
from service.policy.process import CheckerProcess, Ended
from service.policy.rules import Schema

WAITS = 5.0
"""Seconds for those who asked before."""

ANSWERS_WITHIN = 10.0
"""Seconds for an answer. Its processor time is bounded by less, but others may want the processor, too."""


class TakesTooMuch(Exception):
    """The schema can't be held against the document within the bounds. The message says which bound."""


class Schemas:
    """The schemas of all policies that come up. Belongs to one loop; its maker closes it."""

    def __init__(self) -> None:
        self._process: CheckerProcess | None = None
        self._turn = Budget(1)
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return None if self._process is None else self._process.pid

    async def learn(self, schema: Schema) -> Faults:
        """What is wrong with a schema; its places within it. Raises TakesTooMuch, Refused (503)."""
        return _faults(await self._ask(questions.LEARN, schema, given=True))

    async def hold(self, schema: Schema, document: bytes) -> Faults:
        """What of `document` is not as the schema wants it. Raises TakesTooMuch, Refused (503)."""
        answer = await self._ask(questions.HOLD, schema, document)
        if "unknown" in answer:
            answer = await self._ask(questions.HOLD, schema, document, given=True)
        return _faults(answer)

    async def close(self) -> None:
        """End the process."""
        self._closed = True
        await self._end()

    async def _ask(
        self, kind: bytes, schema: Schema, document: bytes = b"", *, given: bool = False
    ) -> dict[str, object]:
        async with self._turn.lent(1, WAITS) as free:
            if not free:
                raise _unavailable("Too many documents are being held against schemas.")
            try:
                async with asyncio.timeout(ANSWERS_WITHIN):
                    return await self._answer(kind, schema.digest, schema.text if given else b"", document)
            except TimeoutError:
                await self._end()
                raise _unavailable(f"The schema was not checked within {ANSWERS_WITHIN:g} s.") from None
            except OSError as error:
                raise _unavailable(f"The program that checks schemas can't be started: {error.strerror}.") from None
            except asyncio.CancelledError:
                await self._end()  # its answer would be taken for that to the next question
                raise

    async def _answer(self, kind: bytes, digest: bytes, schema: bytes, document: bytes) -> dict[str, object]:
        """Ask the process, which may have ended since the last question, by no fault of this one. Raises OSError."""
        begun_before = self._process is not None
        try:
            return await (await self._started()).ask(kind, digest, schema, document)
        except Ended as ended:
            await self._end()
            if ended.too_much:
                raise TakesTooMuch(str(ended)) from None
            if begun_before:
                return await self._answer(kind, digest, schema, document)
            raise _unavailable(f"{str(ended).capitalize()}.") from None

    async def _started(self) -> CheckerProcess:
        if self._closed:
            raise _unavailable("This instance is shutting down.")
        if self._process is None:
            self._process = await CheckerProcess.start()
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.kill()


def _faults(answer: dict[str, object]) -> Faults:
    if "unusable" in answer:
        detail = f"A schema in the policy of the fleet is none, so this is not written: expected {answer['unusable']}."
        raise refused(HTTPStatus.SERVICE_UNAVAILABLE, "policy-unusable", detail, retry_after=10)
    found = answer["faults"]
    assert isinstance(found, list)
    return Faults(tuple(Fault(*each) for each in found[:MOST_TOLD]), more=len(found) > MOST_TOLD)


def _unavailable(detail: str) -> Refused:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "schemas-unchecked", detail, retry_after=1)
