"""How slow a client may be that sends a body or takes an answer: slower ones would hold what others need. Pure."""

from __future__ import annotations

GRACE = 5.0
"""Seconds that any body and any answer may take."""

LEAST_RATE = 64 * 1024
"""Bytes a second, beyond the grace."""


def allowed(length: int) -> float:
    """Seconds in which so many bytes must have been sent or taken."""
    return GRACE + length / LEAST_RATE
