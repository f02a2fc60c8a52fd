"""The walks of docs/how-it-works.md: which files a hit, a miss, a linearizable read, a PUT and a watch event pass."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from consistency import AsyncDistributedCache, CacheOptions
from consistency.core.events import Event
from consistency.etcd.store import EtcdStore
from metrics import Instruments, counters
from service.answering import Answering
from service.app import routes_of
from service.http.bridge import Bridge
from service.http.front import Front
from service.settings.model import Settings
from tests.support.asgi import Answer, Request, ask
from tests.support.driver import run, until
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
ROOMS = tuple(f"{PROJECT / room}/" for room in ("consistency", "service"))
WALKS = {"a hit": 8, "a miss": 28, "a linearizable read": 27, "a PUT": 40, "a watch event": 14}
"""With the most files that each may pass."""

WATCH = "version-watch"
WORKERS = set(counters.WORKERS)


def told() -> dict[str, list[str]]:
    """What the document says, walk by walk."""
    rows = re.findall(r"^\| (a [^|]+) \| (`(?:consistency|service)/[^|]+) \|$", DOCUMENT, re.MULTILINE)
    return {walk: re.findall(r"`((?:consistency|service)/[\w/]+\.py)`", files) for walk, files in rows}


class Walk:
    """Which files of ours are entered, in their order: by the tasks of the walk, not by those that go on beside."""

    def __init__(self, *, of_watch: bool = False) -> None:
        self.files: list[str] = []
        self._of_watch = of_watch

    def __enter__(self) -> list[str]:
        sys.setprofile(self._entered)
        return self.files

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _entered(self, frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(ROOMS) or not self._is_ours():
            return
        name = str(Path(file).relative_to(PROJECT))
        if name not in self.files:
            self.files.append(name)

    def _is_ours(self) -> bool:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return not self._of_watch
        name = task.get_name() if task else ""
        return name == WATCH if self._of_watch else name not in WORKERS


@dataclass(frozen=True)
class Instance:
    """One with etcd, and nothing to do. Its front has no bridge: no walk goes there."""

    cache: AsyncDistributedCache
    front: Front

    def ask(self, method: str, target: str, body: bytes = b"") -> Coroutine[Any, Any, Answer]:
        """What a client asks."""
        length = (b"content-length", str(len(body)).encode())
        headers = ((b"host", b"localhost"), *((length,) if body else ()))
        return ask(self.front, Request(method, f"/config/{target}".encode(), headers, body))


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as etcd:
        seen: list[Event] = []  # an observer that is no file of ours
        store = EtcdStore(etcd.config("walks/"), observer=seen.append)
        options = CacheOptions(staleness_bound=60.0, audit_interval=60.0)
        cache = AsyncDistributedCache(store, options, observer=seen.append)
        run(_begin(cache))
        assert until(lambda: cache.status().fresh and cache.status().watch_up)
        run(cache.put("a", b"1"))
        answering = Answering(cache, Settings(), Instruments())
        bridge = Bridge(routes_of(answering, run).wsgi_app)
        yield Instance(
            cache,
            Front(
                answering.door,
                answering.documents,
                answering.hits,
                answering.probes,
                answering.questions,
                answering.changes,
                answering.policies,
                answering.rollbacks,
                bridge,
                answers=2**20,
                observer=seen.append,
            ),
        )
        run(bridge.close(1.0))
        run(cache.close())
        run(store.close())


async def _begin(cache: AsyncDistributedCache) -> None:
    cache.start()


def watched(cache: AsyncDistributedCache) -> None:
    """Until the watch has brought what was written last."""
    revision = run(cache.get("a", False)).revision
    assert until(lambda: cache.status().horizon >= revision)


def walk(instance: Instance, name: str, attempt: int) -> list[str]:
    """The files of one walk, as they are entered."""
    cache = instance.cache
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "a hit": lambda: instance.ask("GET", "a"),
        "a miss": lambda: instance.ask("GET", f"absent-{attempt}"),
        "a linearizable read": lambda: instance.ask("GET", "a?consistency=linearizable"),
        "a PUT": lambda: instance.ask("PUT", "a", b"2"),
    }
    watched(cache)
    for _ in range(2):  # what is remembered is of the answers before
        for each in ("a", "a?consistency=linearizable", "not-there"):
            run(instance.ask("GET", each))
    run(instance.ask("PUT", "a", b"1"))
    watched(cache)
    run(instance.ask("GET", "a"))
    run(instance.ask("GET", "a"))

    async def take(work: Callable[[], Awaitable[object]]) -> None:
        await work()

    if name != "a watch event":
        with Walk() as files:
            run(take(works[name]))
        return files
    horizon = cache.status().horizon
    with Walk(of_watch=True) as files:
        run(cache.put("a", b"3"))
        assert until(lambda: cache.status().horizon > horizon)
    return files


@pytest.mark.parametrize("name", WALKS)
def test_the_files_of_a_walk_are_those_that_are_entered_in_that_order(instance: Instance, name: str) -> None:
    """A machine that stands still for a second makes a write ask first who answers: so it has three attempts."""
    walks = (walk(instance, name, attempt) for attempt in range(3))
    found = next((files for files in walks if files == told()[name]), None) or walk(instance, name, 3)
    assert found == told()[name]


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_stays_short(name: str) -> None:
    assert len(told()[name]) <= WALKS[name]
