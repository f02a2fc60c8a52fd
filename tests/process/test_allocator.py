"""Memory that is not needed any more goes back to the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from service.memory import allocator
from tests.process.test_stop import patched
from tests.support.etcd import EtcdServer
from tests.support.instances import within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator alone can be asked")

MB = 1024 * 1024
BLOCK, BLOCKS, KEPT = 20_000, 4000, 50
"""Bytes; 80 MB of them, of which each fiftieth stays."""


def resident() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_lies_free_between_blocks_that_stay_is_given_back() -> None:
    blocks = [bytes([number % 256]) * BLOCK for number in range(BLOCKS)]
    kept = blocks[::KEPT]
    del blocks
    before = resident()
    assert allocator.give_back_free_pages()
    assert before - resident() > BLOCK * BLOCKS / 2
    assert len(kept) == BLOCKS / KEPT


TOLD = """
import threading
import service.memory.allocator as allocator
import service.process.compose as compose
compose.GIVES_BACK_EVERY = 0.1
give_back = allocator.give_back_free_pages
def told():
    print("given back by", threading.current_thread().name, give_back(), flush=True)
allocator.give_back_free_pages = told
"""


def test_an_instance_gives_back_from_time_to_time_and_not_on_its_loop(tmp_path: Path, etcd: EtcdServer) -> None:
    with patched(tmp_path, TOLD, ETCD_ENDPOINTS=etcd.endpoint) as instance:
        assert within(5, lambda: instance.printed().count("given back by ") >= 2), instance.printed()
        assert "MainThread" not in instance.printed()
        assert instance.stop() == 0
