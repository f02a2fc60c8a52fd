"""How much work is done. Two sizes: one whose figures count, and one that shows that everything runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    """keys: documents that every instance has read. size: bytes of a document. idle: seconds.

    reads: of those documents, in all, however many instances; `rate` a second, or slower. writes: of one key that all
    instances read, and as many of keys that nobody reads. few: writes of a step.
    key_steps, rate_steps (writes a second), size_steps: what is varied at STEPS_AT instances.
    """

    keys: int = 50
    size: int = 1_000
    idle: float = 10.0
    reads: int = 4_000
    rate: float = 800.0
    writes: int = 10
    few: int = 2
    seconds: float = 6.0
    key_steps: tuple[int, ...] = (10, 100, 1_000)
    rate_steps: tuple[float, ...] = (0.5, 2.0, 5.0)
    size_steps: tuple[int, ...] = (100, 1_000, 10_000, 100_000)


STEPS_AT = 4
"""Instances at which keys, rates and sizes are varied."""

SMOKE = Amount(
    keys=5, idle=1.0, reads=100, rate=500.0, writes=3, few=1, seconds=1.0, key_steps=(5,), rate_steps=(2.0,),
    size_steps=(100,),
)  # fmt: skip
"""Says little about cost, but what holds by construction holds for it."""
