"""The threads that answer share one CPU, and leave it together when others need it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from service.process import one_cpu
from service.process.one_cpu import OneCpu, Usage, better_home, used_by_others
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess


def test_what_the_threads_at_home_use_does_not_count() -> None:
    before = Usage({0: 1000, 1: 1000}, {0: 500, 1: 500}, ours={7: 60, 8: 40})
    now = Usage({0: 1100, 1: 1100}, {0: 590, 1: 530}, ours={7: 120, 8: 50, 9: 10})
    assert used_by_others(before, now, home=0) == {0: 0.1, 1: 0.3}


def test_what_a_thread_used_that_has_ended_is_not_taken_back() -> None:
    before = Usage({0: 1000, 1: 1000}, {0: 500, 1: 500}, ours={7: 60, 8: 4000})
    now = Usage({0: 1100, 1: 1100}, {0: 590, 1: 530}, ours={7: 140})
    assert used_by_others(before, now, home=0) == {0: 0.1, 1: 0.3}


def test_where_there_is_one_cpu_only_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with OneCpu(True, lambda _: None) as cpu:
        assert cpu.home is None
        assert cpu.wrap(refuse) is refuse


def refuse(*_: object) -> None:
    """An application."""
    raise AssertionError("nobody calls it")


def test_a_cpu_of_which_nothing_is_known_counts_as_busy() -> None:
    same = Usage({0: 1000}, {0: 500}, ours={})
    assert used_by_others(same, same, home=0) == {0: 1.0}


@pytest.mark.parametrize(
    ("used", "home"),
    [({0: 0.9, 1: 0.1}, 1), ({0: 0.4, 1: 0.2}, 0), ({0: 0.0, 1: 0.0}, 0), ({0: 0.9, 1: 0.5, 2: 0.1}, 2), ({}, 0),
     ({1: 0.1}, 1)],
)  # fmt: skip
def test_they_move_only_if_it_is_worth_it(used: dict[int, float], home: int) -> None:
    assert better_home(0, used) == home


class Caller:
    """A thread that calls an application, and stays until it is told to go."""

    def __init__(self, cpu: OneCpu) -> None:
        self._called, self._go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(cpu.wrap(lambda *_: ()),))
        self._thread.start()
        assert self._called.wait(5)

    def _run(self, application: one_cpu.Application) -> None:
        application({}, None)
        self._heir = threading.Thread(target=self._go.wait, args=(30,))
        self._heir.start()
        self._called.set()
        self._go.wait(30)

    @property
    def cpus(self) -> set[int]:
        """Where it may run."""
        return os.sched_getaffinity(self._thread.native_id or 0)

    @property
    def cpus_of_child(self) -> set[int]:
        """Where a thread may run that it has started."""
        return os.sched_getaffinity(self._heir.native_id or 0)

    def end(self) -> None:
        self._go.set()
        self._thread.join(5)
        self._heir.join(5)


def test_who_answers_comes_home_and_all_move_together(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = os.sched_getaffinity(0)
    assert len(everywhere) > 1, "this needs a machine with two CPUs"
    monkeypatch.setattr(one_cpu, "LOOK_EVERY", 0.01)
    cpu = OneCpu(True, lambda _: None)
    assert cpu.home is not None
    elsewhere = min(everywhere - {cpu.home})
    callers = [Caller(cpu), Caller(cpu)]
    assert [caller.cpus for caller in callers] == [{cpu.home}] * 2
    assert os.sched_getaffinity(0) == everywhere
    monkeypatch.setattr(one_cpu, "better_home", lambda _home, _used: elsewhere)
    with cpu:
        pause = threading.Event()
        for _ in range(1000):
            if callers[0].cpus == {elsewhere}:
                break
            pause.wait(0.01)
    assert [caller.cpus for caller in callers] == [{elsewhere}] * 2
    assert [caller.cpus_of_child for caller in callers] == [everywhere] * 2
    for caller in callers:
        caller.end()


def test_nothing_is_bound_unless_it_is_wanted() -> None:
    with OneCpu(False, lambda _: None) as cpu:
        caller = Caller(cpu)
        assert (cpu.home, caller.cpus) == (None, os.sched_getaffinity(0))
        caller.end()


@pytest.mark.parametrize("wanted", ["true", "false"])
def test_an_instance_binds_those_that_answer_and_no_others(etcd: EtcdServer, tmp_path: Path, wanted: str) -> None:
    settings = {"ETCD_ENDPOINTS": etcd.endpoint, "USER_KEY_PREFIX": f"/cpu-{wanted}", "THREADS_ON_ONE_CPU": wanted}
    with InstanceProcess(tmp_path, **settings) as instance:
        instance.wait_for_slot()
        for _ in range(20):
            instance.get("k")
        threads = [int(task.name) for task in Path(f"/proc/{instance.pid}/task").iterdir()]
        bound = [thread for thread in threads if len(os.sched_getaffinity(thread)) == 1]
        assert bool(bound) == (wanted == "true")
        assert instance.pid not in bound
        assert len(bound) < len(threads) / 2
