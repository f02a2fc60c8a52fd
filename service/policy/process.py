"""The process of `service.policy.checker`, from the service's side: its start, one question at a time, its end.

It has a socket of ours and its compiled schemas, is told none of our secrets, and ends when the socket is closed; so it
does when we are killed. To start it takes a millisecond, in which the loop stands still; it is ready some 100 ms later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from service.embedded_etcd.child import child_environment
from service.policy import questions

PROGRAM = "service.policy.checker"
ENDS_WITHIN = 2.0
"""Seconds, after it was killed."""

_POLL = 0.005


class Ended(Exception):
    """It has ended without an answer. too_much: by what the question made it take."""

    def __init__(self, why: str, *, too_much: bool) -> None:
        super().__init__(why)
        self.too_much = too_much


class CheckerProcess:
    """A running one. `start` makes it. Belongs to one loop."""

    def __init__(
        self, child: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls) -> CheckerProcess:
        """Start one; what it answers tells whether it could be. Raises OSError."""
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(each for each in sys.path if each)
        try:
            with theirs:
                child = subprocess.Popen(
                    [sys.executable, "-P", "-m", PROGRAM],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=child_environment() | {"PYTHONPATH": path},
                    start_new_session=True,
                )
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        return cls(child, reader, writer)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    async def ask(self, kind: bytes, digest: bytes, schema: bytes, document: bytes = b"") -> dict[str, Any]:
        """Return its answer. Raises Ended. A caller that gives up has to `kill` it: the answer may still come."""
        try:
            self._writer.write(questions.QUESTION.pack(kind, digest, len(schema), len(document)))
            self._writer.writelines((schema, document))
            await self._writer.drain()
            (length,) = questions.ANSWER.unpack(await self._reader.readexactly(questions.ANSWER.size))
            answer: dict[str, Any] = json.loads(await self._reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError):
            raise await self._ended() from None
        return answer

    async def kill(self) -> None:
        """End it, and wait for its end."""
        self._writer.close()
        self._child.kill()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._exit_code()

    async def _ended(self) -> Ended:
        match await self._exit_code():
            case code if code == -signal.SIGPROF:
                return Ended(f"it takes more than {questions.LIMIT:g} s of processor time", too_much=True)
            case code if code in (questions.FAILED, -signal.SIGABRT, -signal.SIGSEGV):
                memory = questions.MEMORY // 1024**2
                return Ended(f"it takes more than {memory} MiB, or breaks the program that checks it", too_much=True)
            case code:
                return Ended(f"the program that checks schemas has ended ({code})", too_much=False)

    async def _exit_code(self) -> int | None:
        """It has closed its end of the socket, or was killed: it is about to be gone."""
        loop = asyncio.get_running_loop()
        end = loop.time() + ENDS_WITHIN
        while (code := self._child.poll()) is None and loop.time() < end:
            await asyncio.sleep(_POLL)
        return code
