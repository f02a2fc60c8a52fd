"""Gives memory that is not needed any more back to the kernel. Only glibc's allocator can be asked to; others aren't.

That allocator gives a large block pages of its own, which go back when the block is freed. But with each such block it
raises the size that counts as large, up to 32 MB. Then large bodies and answers lie in the arenas of 32 threads, and
stay.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

OWN_PAGES = 128 * 1024
"""Bytes of a block from which on it has pages of its own: glibc's default, which stays the default once it was set."""

_M_MMAP_THRESHOLD = -3  # malloc.h


def give_back_large_blocks() -> bool:
    """Give large blocks back when they are freed, from now on. Return whether there is such an allocator."""
    mallopt = _function("mallopt")
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, OWN_PAGES))


def give_back_free_pages() -> bool:
    """What lies free between small blocks, as far as it fills pages. Takes milliseconds; Python runs meanwhile."""
    trim = _function("malloc_trim")
    return trim is not None and bool(trim(0))


def _function(name: str) -> Callable[..., int] | None:
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except OSError:
        return None
