"""To whom callbacks belong, and what a loop in virtual time keeps of each: `Owner`, `Handle`, `Task`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Owner:
    """The owner of callbacks: an instance, say. `held` keeps its ready callbacks while it must not run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.held: list[Handle] | None = None


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class Handle:
    """A callback that is to run, once: what `call_soon` and `call_at` return."""

    __slots__ = ("_when", "args", "callback", "context", "off")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, when: float) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.off = False
        self._when = when

    def cancel(self) -> None:
        """It is not to run any more."""
        self.off = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.off

    def when(self) -> float:
        """The virtual seconds at which it is due."""
        return self._when


class Task(asyncio.Task[T]):
    """asyncio's, with an owner. In a set it stands by its number: an address would differ from process to process."""

    __slots__ = ("number", "owner")

    number: int
    owner: Owner | None

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other
