"""Clients that wait for changes are counted right, and what goes wrong beside them is no figure."""

from __future__ import annotations

import threading

import pytest

from bench.listeners import Tellings
from tests.support.meanwhile import meanwhile

STREAM = (
    b'retry: 1\n\nevent: put\ndata: {"a": 1}\n\nid: 5\nevent: sync\ndata: {}\n\n' * 2 + b'{"result":{}}{"result":{}}'
)


@pytest.mark.parametrize("length", range(1, len(STREAM) + 1))
def test_what_is_told_is_counted_once_wherever_it_is_cut(length: int) -> None:
    told = Tellings()
    for at in range(0, len(STREAM), length):
        told.read(STREAM[at : at + length])
    assert told.count == 4


def test_a_measurement_beside_what_has_failed_is_none() -> None:
    """Nobody writes any more, and streams that are told of nothing disturb no hits."""
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError), meanwhile([fail], pause=0.0):
        assert failed.wait(5.0)
