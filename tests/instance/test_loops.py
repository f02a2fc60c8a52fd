"""What runs on the loop is tested on both kinds: on uvloop's, as in the service, and on asyncio's, as in a library."""

from __future__ import annotations

import asyncio

import uvloop

from consistency.loop import LoopThread
from tests.support.driver import run

KINDS = {"uvloop": uvloop.Loop, "asyncio": asyncio.SelectorEventLoop}


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_the_loop_that_is_driven_and_that_of_the_facade_are_of_the_test_s_kind(kind_of_loop: str) -> None:
    assert isinstance(run(running()), KINDS[kind_of_loop])
    beside = LoopThread()
    with beside.used():
        assert isinstance(beside.run(running()), KINDS[kind_of_loop])
