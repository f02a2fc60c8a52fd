"""The cache as a library, on a real etcd, in a process of its own: what it leaves behind, and what a fork does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.asyncio_says import DEBUG, beside_moments
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT

pytestmark = pytest.mark.lasting

OPENING = """
import asyncio, gc, os, sys, threading, time
from consistency import AsyncDistributedCache, CacheOptions, DistributedCache, Source
from consistency.etcd.store import EtcdConfig, EtcdStore

def made(kind=DistributedCache):
    return kind(EtcdStore(EtcdConfig((sys.argv[1],), sys.argv[2])), CacheOptions())

def until(claim):
    end = time.monotonic() + 20
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.01)

def joined():
    cache = made()
    cache.start()
    until(lambda: cache.status().fresh)
    cache.put("k", b"1")
    assert cache.get("k").value == b"1"
    return cache

def left():
    gc.collect()
    return len(threading.enumerate()), len(os.listdir("/proc/self/fd"))

def no_more_than(before):  # which what was just closed may not have left altogether
    return all(now <= then for now, then in zip(left(), before))

def in_child(work):
    sys.stdout.flush()
    if not (child := os.fork()):
        try:
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    until(lambda: (ended := os.waitpid(child, os.WNOHANG))[0] and outcomes.append(ended[1]) is None)

outcomes = []
"""


def said_by(program: str, etcd: EtcdServer, prefix: str) -> str:
    """What a Python process prints that runs this, warnings being errors, and asyncio looking on."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OPENING + program, etcd.endpoint, f"/{prefix}"],
        cwd=PROJECT,
        env={**os.environ, DEBUG: "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert beside_moments(done.stderr) == ""
    return done.stdout


def test_closing_leaves_no_thread_and_no_descriptor(etcd: EtcdServer, prefix: str) -> None:
    """Five times, several at once: what one leaves behind would add up."""
    program = """
joined().close()  # what gRPC keeps from its first use on, it keeps once
before = left()
for _ in range(5):
    several = [joined() for _ in range(3)]
    for cache in several:
        cache.close()
until(lambda: no_more_than(before))
"""
    assert said_by(program, etcd, prefix) == ""


def test_closing_on_a_loop_leaves_no_task_and_no_descriptor(etcd: EtcdServer, prefix: str) -> None:
    program = """
async def live():
    async with made(AsyncDistributedCache) as one, made(AsyncDistributedCache) as other:
        await one.put("k", b"1")
        while not (one.status().fresh and other.status().fresh):
            await asyncio.sleep(0.01)
        assert (await other.get("k")).value == b"1"
        stores = one._store, other._store
    for store in stores:
        await store.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}

asyncio.run(live())
before = left()
for _ in range(5):
    asyncio.run(live())
until(lambda: no_more_than(before))
"""
    assert said_by(program, etcd, prefix) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems spawn")
def test_a_fork_is_told_in_the_child_and_the_parent_goes_on(etcd: EtcdServer, prefix: str) -> None:
    """Whatever the child tries, and a hit, too: nobody proves anything for it any more.

    Many times: gRPC's own handlers of a fork ended one child in ten, before it could try anything.
    """
    program = """
cache = joined()

def child():
    for call in (lambda: cache.get("k"), lambda: cache.put("k", b"2"), cache.status, cache.close, lambda: joined()):
        try:
            call()
        except RuntimeError as error:
            print(error)

for _ in range(30):
    in_child(child)
assert outcomes == [0] * 30
cache.put("k", b"3")
assert cache.get("k", use_cache=False).value == b"3"
cache.close()
"""
    said = said_by(program, etcd, prefix).splitlines()
    assert len(said) == 30 * 5
    assert set(said) == {
        "this process was forked from one that had a DistributedCache, and neither its thread nor its connections came "
        "along; make the first DistributedCache after the fork"
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems spawn")
def test_what_was_made_and_not_used_works_after_a_fork(etcd: EtcdServer, prefix: str) -> None:
    """As a server does that loads the application and forks its workers."""
    program = """
cache = made()

def child():
    cache.start()
    until(lambda: cache.status().fresh)
    cache.put("k", b"%d" % os.getpid())
    cache.close()

for _ in range(2):
    in_child(child)
assert outcomes == [0, 0]
child()
"""
    assert said_by(program, etcd, prefix) == ""
