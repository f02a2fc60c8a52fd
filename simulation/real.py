"""What is real is refused while a simulation runs: clocks, sleep, sockets, threads, processes, true randomness.

Owns the list. Other threads of the process, which no simulation starts, go on as before. The code under test is given
its clocks; a call that asks the machine all the same raises `Refused`, and is remembered, in case somebody catches it.
Two things are answered instead, from the seed:

  `random` and `secrets.token_hex`: backoffs, spread pauses, nonces, the fleet's id;
  tenacity's `time.monotonic`: it notes how long it has tried, and nothing here decides by it.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from unittest import mock

_CLOCKS = ("time", "monotonic", "perf_counter", "clock_gettime", "sleep")
_CLOCKS_NS = ("time_ns", "monotonic_ns", "perf_counter_ns", "clock_gettime_ns")

REAL: tuple[tuple[Any, str], ...] = (
    *((time, name) for name in (*_CLOCKS, *_CLOCKS_NS)),
    (socket.socket, "__init__"),
    (threading.Thread, "start"),
    (subprocess.Popen, "__init__"),
)
"""What nobody may touch, and under which name."""


class Refused(Exception):
    """Simulated code has asked the machine for something."""


@contextlib.contextmanager
def refused(seed: str, now: Callable[[], float]) -> Iterator[list[str]]:
    """Refuse it meanwhile; what was asked for. `now`: virtual seconds."""
    asked: list[str] = []
    dice = Random(seed)
    before = random.getstate()
    random.seed(seed)
    with contextlib.ExitStack() as stack:
        for place, name in REAL:
            answer = _refusing(f"{place.__name__}.{name}", getattr(place, name), asked)
            if (place, name) == (time, "monotonic"):
                answer = _but_for_tenacity(answer, now)
            stack.enter_context(mock.patch.object(place, name, answer))
        stack.enter_context(
            mock.patch.object(secrets, "token_hex", lambda size=32: f"{dice.getrandbits(8 * size):0{2 * size}x}")
        )
        try:
            yield asked
        finally:
            random.setstate(before)


def _refusing(what: str, real: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    here = threading.get_ident()

    def refuse(*arguments: Any, **named: Any) -> Any:
        if threading.get_ident() != here:
            return real(*arguments, **named)
        who = sys._getframe(1)
        while who.f_back and who.f_globals.get("__name__") == __name__:
            who = who.f_back
        said = f"{who.f_globals.get('__name__')} asks for {what}, line {who.f_lineno}"
        asked.append(said)
        raise Refused(said)

    return refuse


def _but_for_tenacity(refuse: Callable[..., Any], now: Callable[[], float]) -> Callable[..., Any]:
    here = threading.get_ident()

    def monotonic() -> Any:
        tenacity = str(sys._getframe(1).f_globals.get("__name__")).startswith("tenacity")
        return now() if tenacity and threading.get_ident() == here else refuse()

    return monotonic
