"""Cloud Foundry on one machine: scales an app and renews it, with a router in front, and tells what it does.

Not in it: cells that fail, and the time that the real one takes. Instances are started one after the other, since here
they share two processors instead of having a cell each. Used by one thread.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.platform import apps
from tests.platform.apps import App
from tests.platform.cell import Container
from tests.platform.gorouter import Router

UNREGISTERED_AFTER = 1.0
"""Seconds from SIGTERM until the router has heard of it; until then it sends requests to who is about to end."""

CHECKS_EVERY = 0.5


class Foundry:
    """One app that is pushed. As a context manager it ends what runs at the end, by force."""

    def __init__(
        self,
        app: App,
        router: Router,
        ports: Iterator[int],
        directory: Path,
        credentials: object,
        say: Callable[[str], None],
    ) -> None:
        self.running: list[Container] = []
        self._app = app
        self._router = router
        self._ports = ports
        self._directory = directory
        self._credentials = credentials
        self._say = say
        self._everything = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._everything.close()

    def scale(self, size: int) -> None:
        """`cf scale -i`: starts what is missing, or stops what is too much, the last ones first."""
        self._say(f"scale {len(self.running)} to {size}")
        while len(self.running) < size:
            self._start(len(self.running))
        self._stop(self.running[size:])

    def roll(self) -> None:
        """`cf push --strategy rolling`: one more is started; when it is ready, an old one stops; until all are new."""
        self._say(f"renew {len(self.running)}")
        for index, old in enumerate(list(self.running)):
            self._start(index)
            self._stop([old])

    def stay(self, seconds: float) -> None:
        """Goes on like that, health and readiness being checked."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._check()

    def _start(self, index: int) -> None:
        port, guid = next(self._ports), str(uuid.uuid4())
        env = apps.environment(self._app, port=port, index=index, guid=guid, credentials=self._credentials)
        container = self._everything.enter_context(Container(self._app, port, env, self._directory / f"{port}.log"))
        began = time.monotonic()
        for check in ("health-check", "readiness-health-check"):
            while not container.passes(check):
                assert time.monotonic() < began + self._app["timeout"], f"{check} fails:\n{container.printed()}"
                self._check()
        self._router.register(port)
        self.running.append(container)
        self._say(f"  {port} is started as index {index}, ready after {time.monotonic() - began:.1f} s")

    def _stop(self, containers: list[Container]) -> None:
        self.running = [container for container in self.running if container not in containers]
        for container in containers:
            container.ask_to_stop()
        if containers:
            time.sleep(UNREGISTERED_AFTER)
        for container in containers:
            if container.port in self._router.registered:
                self._router.unregister(container.port)
        for container in containers:
            end = container.wait()
            self._say(
                f"  {container.port} has ended with {end.code} in {end.seconds:.1f} s; {end.megabytes} MB at most"
            )
            assert end.code == 0, container.printed()

    def _check(self) -> None:
        """One round: an instance that isn't alive fails the test; one that isn't ready gets no requests until it is."""
        time.sleep(CHECKS_EVERY)
        for container in self.running:
            assert container.passes("health-check"), f"{container.port} would be restarted:\n{container.printed()}"
            ready, routed = container.passes("readiness-health-check"), container.port in self._router.registered
            if ready and not routed:
                self._router.register(container.port)
            if routed and not ready:
                self._say(f"  {container.port} is not ready")
                self._router.unregister(container.port)
