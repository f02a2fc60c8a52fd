"""By what name the service was started, where its data is then, and what else that name can do. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Run = Callable[[Sequence[str], str], int]
"""Runs a command: takes the arguments behind it, and the directory for data; returns the exit code."""


@dataclass(frozen=True, slots=True)
class Program:
    """data: the directory for data unless --data-dir names one. more: by command, what it does, and what to call."""

    name: str = "python -m service"
    data: str = "instance"
    more: Mapping[str, tuple[str, Run]] = field(default_factory=dict)


CHECKOUT = Program()
"""`python -m service`: its data is in `instance/` of the directory in which it is started."""
