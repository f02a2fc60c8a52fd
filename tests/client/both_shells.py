"""The asynchronous client as the blocking one is used, so that one test is about both.

Owns a loop in a thread of its own, as a program has it; every call waits for it, with a deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from config_client import AsyncConfigClient, State

WITHIN = 20.0


class OnALoop:
    """An `AsyncConfigClient` on a loop in a thread of its own."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()
        self.inner = AsyncConfigClient(*arguments, **more)

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WITHIN)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        try:
            self._do(self.inner.start())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._do(self.inner.aclose())
        self._do(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN)
        assert asyncio.all_tasks(self._loop) == set()
        self._loop.close()

    def on_change(self, name: str, callback: Callable[[Any], object]) -> OnALoop._Handle:
        async def listen() -> Any:
            return self.inner.on_change(name, callback)

        return OnALoop._Handle(self, self._do(listen()))

    def on_update(self, callback: Callable[[Any], object]) -> OnALoop._Handle:
        async def listen() -> Any:
            return self.inner.on_update(callback)

        return OnALoop._Handle(self, self._do(listen()))

    def __contains__(self, name: object) -> bool:
        return name in self.inner

    class _Handle:
        def __init__(self, outer: OnALoop, inner: Any) -> None:
            self._outer = outer
            self._inner = inner

        def close(self) -> None:
            self._outer._do(self._inner.aclose())

    def wait_for(self, revision: int, timeout: float = 30.0) -> None:
        self._do(self.inner.wait_for(revision, timeout))

    def put(self, *arguments: Any, **more: Any) -> Any:
        return self._do(self.inner.put(*arguments, **more))

    def delete(self, *arguments: Any, **more: Any) -> Any:
        return self._do(self.inner.delete(*arguments, **more))

    def batch(self, *arguments: Any, **more: Any) -> Any:
        return self._do(self.inner.batch(*arguments, **more))

    @property
    def state(self) -> State:
        return self.inner.state

    def __getitem__(self, name: str) -> Any:
        return self.inner[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
