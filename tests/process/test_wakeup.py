"""A signal ends the main thread's wait, whichever thread gets it and whatever that thread is doing."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from service.process.wakeup import Wakeup

SOON = 5.0

Handle = Callable[[Callable[[], None]], None]


@pytest.fixture
def handle() -> Iterator[Handle]:
    """Lets SIGUSR1 call a function."""

    def use(function: Callable[[], None]) -> None:
        def handler(_signum: int, _frame: FrameType | None) -> None:
            function()

        signal.signal(signal.SIGUSR1, handler)

    before = signal.getsignal(signal.SIGUSR1)
    yield use
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.timeout(SOON)
def test_a_signal_that_another_thread_gets_ends_the_wait(handle: Handle) -> None:
    """Python runs the handler in the main thread, but does not wake it from a lock for that."""
    wakeup, handled = Wakeup(), []
    handle(lambda: handled.append(True))

    def send() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    thread = threading.Timer(0.05, send)
    thread.start()
    wakeup.wait()
    thread.join(SOON)
    assert handled


@pytest.mark.timeout(SOON)
def test_a_handler_may_set_what_the_main_thread_is_setting(handle: Handle) -> None:
    """Step 3 of the module's story: an Event locks itself for ever once a signal comes between two of its lines."""
    wakeup, handled = Wakeup(), itertools.count()

    def handler() -> None:
        wakeup.set()
        next(handled)

    handle(handler)
    signals = threading.Thread(target=send_many, args=(threading.main_thread().ident, until := threading.Event()))
    signals.start()
    for _ in range(100_000):
        wakeup.set()
    wakeup.wait()
    until.set()
    signals.join(SOON)
    assert next(handled) > 0


def send_many(to: int, until: threading.Event) -> None:
    """SIGUSR1 again and again, but not faster than it can be handled."""
    while not until.wait(0.0001):
        signal.pthread_kill(to, signal.SIGUSR1)


@pytest.mark.timeout(SOON)
def test_a_wakeup_from_another_thread_ends_the_wait_and_is_used_up_by_it(handle: Handle) -> None:
    """As when Granian's worker ends by itself."""
    handle(lambda: None)
    wakeup = Wakeup()
    for _ in range(2):
        set_it = threading.Event()

        def wake(done: threading.Event = set_it) -> None:
            done.set()
            wakeup.set()

        thread = threading.Timer(0.05, wake)
        thread.start()
        wakeup.wait()
        assert set_it.is_set()
        thread.join(SOON)
