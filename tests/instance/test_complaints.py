"""What asyncio's debug mode complains of fails the test in which it happens, whatever kind it is."""

from __future__ import annotations

import asyncio
import re

import pytest

from consistency.loop import LoopThread
from tests.support import asyncio_says
from tests.support.driver import run
from tests.support.instances import PROJECT

PROVOKING = """
import asyncio, gc, socket, time
from tests.support import asyncio_says
from tests.support.driver import loop, run
from consistency.loop import PROCESS_LOOP

async def nothing(): pass
async def wait(): await asyncio.sleep(0)
async def fail(): raise LookupError("seen by nobody")
async def hold(): time.sleep(0.2)

def test_well(): run(wait())

def test_slow(monkeypatch):
    monkeypatch.setattr(asyncio_says, "SLOW", 0.15)
    run(hold())

def test_slow_beside(monkeypatch):
    monkeypatch.setattr(asyncio_says, "SLOW", 0.15)
    with PROCESS_LOOP.used():
        PROCESS_LOOP.run(hold())

def test_never_awaited():
    nothing()
    gc.collect()

def test_dropped():
    async def drop():
        asyncio.get_running_loop().create_task(forever())
        await asyncio.sleep(0)
    async def forever():
        await asyncio.get_running_loop().create_future()
    run(drop())
    gc.collect()

def test_failed():
    async def drop():
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0.01)
    run(drop())
    gc.collect()

def test_unclosed():
    one, other = socket.socketpair()
    async def connect():
        await asyncio.open_connection(sock=one)
    run(connect())
    other.close()
    gc.collect()

def test_from_another_thread():
    async def ask():
        await asyncio.to_thread(loop().call_soon, print)
    run(ask())
"""


CONFTEST = """
import pytest
from tests.support import driver
from tests.support.complaints import all_complaints, complaints

@pytest.fixture(autouse=True)
def kind_of_loop():
    with driver.driven_by("{kind}"):
        yield
"""


def test_each_kind_of_complaint_is_a_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kind_of_loop: str
) -> None:
    """In a run of its own: a test that does it fails, be it only when it is over, and one that doesn't passes."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest(CONFTEST.format(kind=kind_of_loop))
    pytester.makepyfile(PROVOKING)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:schemathesis", "-rA")
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout.str(), re.MULTILINE))
    assert failed == set(re.findall(r"^def (\w+)", PROVOKING, re.MULTILINE)) - {"test_well"}
    assert done.parseoutcomes()["errors"] == 4  # beside those that are warnings, or raised


def test_every_loop_of_these_tests_is_in_debug_mode() -> None:
    """That of the facade as well."""

    async def debugs() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert run(debugs())
    loop = LoopThread()
    with loop.used():
        assert loop.run(debugs())


@pytest.mark.parametrize("handle", ["<Handle f()>", "<Task coro=<f()>\n created at a.py:1>"])
def test_a_moment_that_the_machine_has_taken_is_no_complaint(handle: str) -> None:
    """However many lines it is told in, and whatever is said beside it."""
    short, long = (f"Executing {handle} took {seconds} seconds" for seconds in ("0.156", "5.002"))
    assert not asyncio_says.counts(short)
    assert asyncio_says.counts(long)
    assert not asyncio_says.counts("Executing <Task running at /lib/playwright/_impl/a.py:9> took 5.002 seconds")
    assert asyncio_says.beside_moments(f"{short}\nan error\n{long}\n{short}\n") == f"an error\n{long}"
