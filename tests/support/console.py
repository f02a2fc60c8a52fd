"""Console sessions of documents: what stands behind each `$ ` is typed into one shell, as it stands, and what stands
beneath it has to be what comes.

Beneath a `curl -i` stand the status line and, in their order, those of the header lines that matter; then, after an
empty line, the whole body, if it is shown. Beneath anything else stands all that it prints. A command with nothing
beneath it only has to succeed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import IO, Self

from tests.support.unavailable import need

END = "-- that was all --"
ENDS_WITHIN = 90.0
"""Seconds that a command may take."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the lines shown beneath it."""

    command: str
    shown: tuple[str, ...]


def sessions(document: str) -> list[list[Step]]:
    """The steps of each block of the kind `console`. Raises ValueError for one that does not begin with a command."""
    return [_steps(block) for block in re.findall(r"^```console\n(.*?)^```", document, re.MULTILINE | re.DOTALL)]


def _steps(block: str) -> list[Step]:
    first, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if first:
        raise ValueError(f"expected a command, found {first!r}")
    made = []
    for part in parts:
        command, *shown = part.rstrip("\n").split("\n")
        made.append(Step(command, tuple(shown)))
    return made


def differences(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """What is shown and did not come, or came instead of it; empty if the document tells the truth."""
    if not shown:
        return []
    if not shown[0].startswith("HTTP/"):
        return [] if [*shown] == [*printed] else [f"expected {[*shown]}, got {[*printed]}"]
    head, body = _parted(shown)
    answered, content = _parted(printed)
    wrong = [] if head[0] == answered[0] else [f"expected {head[0]!r}, got {answered[0]!r}"]
    rest = iter(answered[1:])
    if not all(line in rest for line in head[1:]):
        wrong.append(f"expected {head[1:]}, in this order, among {answered[1:]}")
    if body and body != content:
        wrong.append(f"expected the body {body}, got {content}")
    return wrong


def _parted(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Head and body."""
    at = lines.index("") if "" in lines else len(lines)
    return [*lines[:at]], [*lines[at + 1 :]]


class Shell:
    """One bash for all commands of a document: they share its variables, and it goes to `directory`.

    What a document calls localhost:8080 is the instance at `port`, without a change to what is typed. Used as a context
    manager, it is ended at the end.
    """

    def __init__(self, directory: Path, port: int) -> None:
        need("curl")
        self._bash = subprocess.Popen(
            ["bash"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._bash.stdin
        assert self._bash.stdout
        self._in: IO[str] = self._bash.stdin
        self._out: IO[str] = self._bash.stdout
        there = f"--connect-to localhost:8080:127.0.0.1:{port}"
        self.run(f"curl() {{ command curl -sS --noproxy '*' {there} \"$@\"; }}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bash.kill()
        self._bash.wait(5)
        self._in.close()
        self._out.close()

    def run(self, command: str) -> list[str]:
        """The lines it prints. Raises AssertionError when it fails, or does not end in time."""
        code, lines = self.result(command)
        if code:
            raise AssertionError(f"{command}: exit code {code} after {lines}")
        return lines

    def result(self, command: str) -> tuple[int, list[str]]:
        """Its exit code and the lines it prints. Raises AssertionError when it does not end in time."""
        watchdog = Timer(ENDS_WITHIN, self._bash.kill)
        watchdog.start()
        try:
            self._in.write(f"{command}\nprintf '\\n%s %s\\n' '{END}' $?\n")
            self._in.flush()
            lines: list[str] = []
            while not (line := self._out.readline()).startswith(END):
                if not line:
                    raise AssertionError(f"{command}: the shell has ended after {lines}")
                lines.append(line.rstrip("\r\n"))
        finally:
            watchdog.cancel()
        while lines and not lines[-1]:
            lines.pop()
        return int(line.removeprefix(END)), lines

    def follow(self, step: Step) -> None:
        """Types the command. Raises AssertionError that tells command and difference if the document is wrong."""
        if wrong := differences(step.shown, self.run(step.command)):
            raise AssertionError(f"{step.command}: {wrong}")
