"""What a container has, and what is made of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from consistency.tasks import Budget
from service.memory.capacity import BASE, EMBEDDED, OF_ANSWER, capacity
from service.memory.limit import memory_limit
from service.settings.model import Settings, SettingsError
from tests.support.instances import environment, run_service

MB = 1024**2
MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
UNLIMITED_V1 = "9223372036854771712"


def tree(root: Path, membership: str, limits: dict[str, str]) -> Path:
    """A system with these control groups."""
    files = {"proc/self/cgroup": membership} | {f"sys/fs/cgroup/{path}": text for path, text in limits.items()}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("membership", "limits", "found"),
    [
        ("0::/", {"memory.max": "268435456"}, 256),
        ("0::/", {"memory.max": "max"}, None),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "268435456"}, 256),
        ("0::/a/b", {"a/b/memory.max": "536870912", "a/memory.max": "268435456"}, 256),
        ("0::/a/b", {"a/b/memory.max": "134217728", "a/memory.max": "268435456"}, 128),
        ("0::/of/the/host", {"memory.max": "268435456"}, 256),
        ("4:memory:/\n0::/", {"memory/memory.limit_in_bytes": "268435456"}, 256),
        ("4:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": "268435456"}, 256),
        ("4:memory:/docker/0f", {"memory/memory.limit_in_bytes": "268435456"}, 256),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": UNLIMITED_V1}, None),
        ("4:memory:/a/b", {"memory/a/memory.limit_in_bytes": "268435456"}, 256),
        ("1:name=systemd:/a", {"a/memory.max": "1"}, None),
    ],
)
def test_the_least_limit_around_this_process_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], found: int | None
) -> None:
    """Either version of control groups; nested groups; containers that show the path of their host."""
    assert memory_limit(tree(tmp_path, membership, limits)) == (MACHINE if found is None else found * MB)


def test_where_there_are_no_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_limit(tmp_path) == MACHINE


@pytest.mark.parametrize("embedded", [False, True])
@pytest.mark.parametrize("limit", [192, 256, 512, 4096])
def test_what_is_held_at_once_fits_into_the_limit(limit: int, embedded: bool) -> None:
    """The sum that the module's table shows: base, cache, connections of 40 kB, bodies, answers."""
    found = capacity(limit * MB, Settings(), embedded=embedded)
    held = found.cache + found.connections * 40 * 1024 + found.bodies + found.answers
    assert BASE + EMBEDDED * embedded + held <= limit * MB
    assert found.connections >= 64


def test_with_plenty_of_memory_nothing_is_smaller_than_it_was() -> None:
    """12,000 connections, 10,000 of them of clients that wait, the whole default of the cache, and large answers."""
    found = capacity(8192 * MB, Settings(), embedded=False)
    assert (found.connections, found.waiters, found.cache) == (12_000, 10_000, 64 * MB)
    assert found.answers > 500 * OF_ANSWER * MB


def test_a_cache_that_was_asked_for_is_kept_to() -> None:
    assert capacity(256 * MB, Settings(cache_max_bytes=100 * MB), embedded=False).cache == 100 * MB
    assert capacity(256 * MB, Settings(), embedded=False).cache < 64 * MB


def test_a_limit_for_which_the_documents_are_too_large_is_refused_with_the_least_that_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"is 100 MiB, .* at least 118 MiB"):
        capacity(100 * MB, Settings(), embedded=False)
    capacity(118 * MB, Settings(), embedded=False)
    capacity(100 * MB, Settings(max_value_bytes=512 * 1024), embedded=False)


def test_an_instance_with_too_small_a_limit_says_so_and_ends(tmp_path: Path) -> None:
    done = run_service(tmp_path, env=environment(MEMORY_LIMIT=str(100 * MB), ETCD_ENDPOINTS="http://127.0.0.1:1"))
    assert done.returncode == 1
    assert "MEMORY_LIMIT is 100 MiB, which is too little" in done.stderr


def test_a_budget_lends_no_more_than_it_has_and_waits_for_what_comes_back() -> None:
    async def borrow() -> None:
        budget = Budget(10)
        assert await budget.take(7)
        assert not await budget.take(4)
        assert not await budget.take(4, patience=0.01)
        asyncio.get_running_loop().call_later(0.05, budget.give_back, 7)
        assert await budget.take(10, patience=10.0)
        assert budget.free == 0

    asyncio.run(borrow())
