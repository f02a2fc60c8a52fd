"""Clients that wait for changes are counted right, and what goes wrong beside them is no figure."""

from __future__ import annotations

import threading

import pytest

from bench.listeners import Tellings
from bench.waiting import meanwhile

STREAM = (
    b'retry: 1\n\nevent: put\ndata: {"a": 1}\n\nid: 5\nevent: sync\ndata: {}\n\n' * 2 + b'{"result":{}}{"result":{}}'
)


@pytest.mark.parametrize("length", range(1, len(STREAM) + 1))
def test_what_is_told_is_counted_once_wherever_it_is_cut(length: int) -> None:
    told = Tellings()
    for at in range(0, len(STREAM), length):
        told.read(STREAM[at : at + length])
    assert told.count == 4


def test_what_is_done_beside_a_measurement_ends_with_it() -> None:
    overs: list[threading.Event] = []
    with meanwhile(overs.append):
        pass
    assert [over.is_set() for over in overs] == [True]


def test_a_measurement_beside_what_has_failed_is_none() -> None:
    def fail(_over: threading.Event) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError), meanwhile(fail):
        pass
