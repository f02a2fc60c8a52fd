"""FastAPI: a lifespan that starts and ends the client, and dependencies that read from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from config_client.aio import AsyncConfigClient
from config_client.memory import ABSENT, Snapshot

if TYPE_CHECKING:
    from config_client.testing import FakeConfig


class FastAPIConfig:
    """`config = FastAPIConfig(AsyncConfigClient(…))`, then `FastAPI(lifespan=config.lifespan)`.

    In routes: `limits: Annotated[Limits, Depends(config.value("limits", Limits))]`. Starlette and whatever else has its
    lifespans can take it, too.
    """

    def __init__(self, client: AsyncConfigClient | FakeConfig) -> None:
        self.client = client

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Start the client with the application, and end it. Raises StartFailed, which ends the start."""
        del app
        async with self.client:
            yield

    def value(self, name: str, kind: Any = None, default: Any = ABSENT) -> Callable[[], Any]:
        """Return a dependency: the newest value of a name that its type could read. It raises as `get` does."""

        async def read() -> Any:
            return self.client.get(name, kind, default)

        return read

    async def snapshot(self) -> Snapshot:
        """A dependency: all documents at one revision. FastAPI asks once for each request, however many need it."""
        return self.client.snapshot()
