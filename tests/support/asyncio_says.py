"""What asyncio complains of, as text: which lines are complaints that count. Pure.

A callback is slow from SLOW seconds on. Those are of the clock on the wall, and on a machine that does much else at a
time callbacks of 2 ms have been seen to take two seconds; so this finds what waits where it must not. What computes
for too long is found by `tests.support.holds`, by the time of the processor.
"""

from __future__ import annotations

import re

SLOW = 4.0

DEBUG = "PYTHONASYNCIODEBUG"
"""What a process is told by, if its loops are to look more closely. They take three to five times as long then."""

_SLOW = re.compile(r"\bExecuting (?:(?!\bExecuting ).)* took ([\d.]+) seconds", re.DOTALL)
_OF_A_PROCESS = re.compile(r'"logger": "asyncio"|\bwas never (?:awaited|retrieved)\b|\bResourceWarning\b')


def counts(complaint: str) -> bool:
    """Whether it is more than a moment that the machine has taken, or a browser's driver, whose loop runs the test."""
    slow = _SLOW.search(complaint)
    return slow is None or (float(slow[1]) >= SLOW and "playwright" not in complaint)


def beside_moments(said: str) -> str:
    """What a process has said, but for that."""
    return _SLOW.sub(lambda slow: slow[0] if counts(slow[0]) else "", said).strip()


def complaints_in(output: str) -> list[str]:
    """Of what a process has printed, be it through the service's log or past it, the complaints."""
    return [line for line in output.splitlines() if _OF_A_PROCESS.search(line) and counts(line)]
