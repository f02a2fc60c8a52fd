"""The tests of what runs on the loop: asyncio looks on, and what it complains of is a failure."""

from __future__ import annotations

from tests.support.complaints import complaints

__all__ = ["complaints"]
