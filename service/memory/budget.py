"""Bytes that are lent for a while, so many at once and no more. Knows nothing of what they are lent for."""

from __future__ import annotations

import threading
import time


class Budget:
    """Safe for concurrent use."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._returned = threading.Condition()  # protects the free bytes; notified when there are more

    @property
    def free(self) -> int:
        """Bytes that are not lent at this moment."""
        return self._free

    def take(self, amount: int, patience: float = 0.0) -> bool:
        """Whether it could be lent within `patience` seconds. Every True is answered by one `give_back`.

        Nobody is kept for who needs more: small loans may overtake a large one.
        """
        deadline = time.monotonic() + patience
        with self._returned:
            while amount > self._free:
                left = deadline - time.monotonic()
                if left <= 0 or not self._returned.wait(left):
                    return False
            self._free -= amount
            return True

    def give_back(self, amount: int) -> None:
        """What was taken."""
        with self._returned:
            self._free += amount
            self._returned.notify_all()
