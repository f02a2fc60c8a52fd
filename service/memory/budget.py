"""An amount that is lent out: whoever finds too little left waits a moment, then does without. Belongs to one loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from consistency.tasks import News


class Budget:
    """`amount` in all, in any unit."""

    def __init__(self, amount: int) -> None:
        self._free = amount
        self._returned = News()
        self._awaited = False  # somebody waits, or has waited, since the last news of it

    @property
    def free(self) -> int:
        """What is not lent at this moment."""
        return self._free

    async def take(self, amount: int, patience: float = 0.0) -> bool:
        """Return whether it could be lent within `patience` seconds. Every True is answered by one `give_back`.

        Nothing is kept for who needs more: small loans may overtake a large one.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        while amount > self._free:
            left = deadline - loop.time()
            if left <= 0:
                return False
            self._awaited = True
            if not await self._returned.wait(left):
                return False
        self._free -= amount
        return True

    def give_back(self, amount: int) -> None:
        """Give back what was taken."""
        self._free += amount
        if self._awaited:
            self._awaited = False
            self._returned.tell()

    @contextlib.asynccontextmanager
    async def lent(self, amount: int, patience: float) -> AsyncIterator[bool]:
        """Lend for as long as the block lasts; whether it could be done."""
        taken = await self.take(amount, patience)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(amount)
