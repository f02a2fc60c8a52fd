"""Serves one instance with Granian until a signal ends it, then ends everything in order.

One process: Granian's threads, ours, and (as a child) the embedded etcd. Granian would fork a worker; its other way,
a worker thread, needs no second copy of the interpreter and leaves the signals to us. Order at the end: readiness
off, wait for the load balancer if asked to, no new connections, requests in flight, the slot, connections, etcd.
"""

from __future__ import annotations

import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mt import MTServer

from service.process.listener import BACKLOG
from service.process.logs import GRANIAN
from service.process.wakeup import Wakeup

DRAIN_WITHIN = 6
"""Seconds for requests in flight to be answered; none takes longer unless its client is slow or hangs."""

MAX_HEADER = 16 * 1024
"""Bytes of a request before its body; beyond: 431. A client in the middle of one may cost twice as many."""

RESERVED_FILES = 256
"""File descriptors for everything but clients."""

THREAD_NAME = "granian-worker"


class Server(MTServer):
    """Granian on a socket that exists, in a process that stays ours."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        threads: int,
        connections: int,
        drain_wait: float,
        on_stop: Callable[[], None],
        stop_asked: Callable[[], bool],
        on_hangup: Callable[[], None] | None = None,
        hung_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """`connections`: that may be open at once, if the limit on open files allows it.

        `on_hangup`: what SIGHUP asks for, done in the main thread; None: it means that the terminal is closed."""
        super().__init__(
            "config-service",
            interface=Interfaces.WSGI,
            http=HTTPModes.http1,
            # The header timeout also ends idle connections, which routers keep for 90 s: as long as Granian lets us.
            http1_settings=HTTP1Settings(header_read_timeout=60_000, max_buffer_size=MAX_HEADER),
            blocking_threads=threads,
            blocking_threads_idle_timeout=600,
            backlog=BACKLOG,
            backpressure=_connections(connections),
            log_dictconfig=GRANIAN,
            log_level=LogLevels.error,
            workers_kill_timeout=max(1, int(DRAIN_WITHIN - drain_wait)),
        )
        self._listener = listener
        self._drain_wait = drain_wait
        self._on_stop = on_stop
        self._stop_asked = stop_asked
        self._on_hangup = on_hangup
        self._hung_up = hung_up
        self.main_loop_interrupt = Wakeup()  # type: ignore[assignment]  # does what an Event does for Granian
        self._outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started by nohup

    def run(self, app: Callable[..., Any]) -> None:
        """Serves until SIGTERM, SIGINT or the terminal's end. Raises SystemExit when the worker ends by itself."""
        self.serve(target_loader=lambda: app, wrap_loader=False)

    @property
    def drained(self) -> bool:
        """Whether every request in flight has been answered. To be asked after `run`."""
        return not any(thread.name == THREAD_NAME and thread.is_alive() for thread in threading.enumerate())

    # What Granian calls

    def _check_gil(self) -> None:
        """Granian uses worker threads only without a GIL, since several would not help with one. We have one worker."""

    def _init_shared_socket(self) -> None:
        self._listener.setblocking(False)
        # Granian's annotations don't know these arguments: file descriptor, whether it is a Unix socket, backlog.
        holder = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg]
        self._shd = holder  # type: ignore[assignment]  # annotated by its first value, None

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """SIGTERM or SIGINT, in the main thread."""
        self._on_stop()
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # Granian leaves it so

    def signal_handler_reload(self, *args: Any, **kwargs: Any) -> None:
        """SIGHUP, for Granian the wish to start a new worker; for us `on_hangup`, or a closed terminal."""
        if self._on_hangup is not None:
            super().signal_handler_reload(*args, **kwargs)  # type: ignore[no-untyped-call]  # the same
        elif not self._outlives_terminal:
            self.signal_handler_interrupt(*args, **kwargs)

    def _reload(self, *_: Any) -> None:
        """After SIGHUP, in the main thread and outside of the handler. What comes meanwhile is done afterwards."""
        self.reload_signal = False
        if self._on_hangup is not None:
            self._on_hangup()

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        if self._stop_asked():  # by a signal that came before ours were set
            self.signal_handler_interrupt()
        if self._hung_up():
            self._reload()
        super()._serve_loop(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # the same
        if self.interrupt_signal:
            time.sleep(self._drain_wait)


def _connections(most: int) -> int:
    """How many clients may be connected at once: what the limit on open files leaves, raised as far as needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + RESERVED_FILES
    unlimited = hard == resource.RLIM_INFINITY
    allowed = wanted if unlimited else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(64, allowed - RESERVED_FILES)
