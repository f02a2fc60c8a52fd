"""How long a loop is held at once: the processor time of single callbacks, which a busy machine does not lengthen.

The collector of cycles is off meanwhile: what it takes depends on all that the test process has in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, TypeVarTuple

import uvloop

Ts = TypeVarTuple("Ts")

RUNS = 5
"""Attempts: what is measured first may be cold, and what is measured beside others slow."""

TURNS = 80_000
"""Of a small loop in Python. A processor of 2024 takes 5 ms for as many."""


def most() -> float:
    """Seconds for which nothing may hold the loop: as long as this processor takes for TURNS, at this moment.

    A limit in seconds would say how fast a machine is; this one says how much is done at once.
    """
    return min(_seconds_for(TURNS // 10) for _ in range(RUNS)) * 10


def _seconds_for(turns: int) -> float:
    started = time.thread_time()
    for number in range(turns):
        len(str(number))
    return time.thread_time() - started


@dataclass
class Holds:
    """Every callback that ran meanwhile: seconds of processor time, and what it was."""

    each: list[tuple[float, str]] = field(default_factory=list)

    @property
    def longest(self) -> tuple[float, str]:
        return max(self.each, default=(0.0, "nothing"))


class MeasuringLoop(asyncio.AbstractEventLoop):
    """A loop like any other, but within `measured`. Callbacks come to it by the published ways alone."""

    _holds: Holds | None = None

    @contextlib.contextmanager
    def measured(self) -> Iterator[Holds]:
        """Measures all that is called from now on, without what a debug mode adds."""
        gc.collect()
        gc.disable()
        debug = self.get_debug()
        self.set_debug(False)
        self._holds = holds = Holds()
        try:
            yield holds
        finally:
            self._holds = None
            self.set_debug(debug)
            gc.enable()

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon(self._noted(callback), *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        return super().call_soon_threadsafe(self._noted(callback), *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_later(delay, self._noted(callback), *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, self._noted(callback), *args, context=context)

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        super().add_reader(fd, self._noted_now(callback), *args)

    def add_writer(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        super().add_writer(fd, self._noted_now(callback), *args)

    def _noted(self, callback: Callable[[*Ts], object]) -> Callable[[*Ts], object]:
        return callback if self._holds is None else self._noted_now(callback)

    def _noted_now(self, callback: Callable[[*Ts], object]) -> Callable[[*Ts], object]:
        def noted(*args: *Ts) -> None:
            holds, started = self._holds, time.thread_time()
            try:
                callback(*args)
            finally:
                if holds is not None:
                    holds.each.append((time.thread_time() - started, _named(callback)))

        return noted


class MeasuringUvloop(MeasuringLoop, uvloop.Loop):  # type: ignore[misc]  # two lists of the same methods
    """The service's."""


class MeasuringSelectorLoop(MeasuringLoop, asyncio.SelectorEventLoop):
    """asyncio's own."""


LOOPS: dict[str, type[MeasuringLoop]] = {"uvloop": MeasuringUvloop, "asyncio": MeasuringSelectorLoop}


def _named(callback: object) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"{owner.get_name()} {owner.get_coro()}"
    return str(callback)
