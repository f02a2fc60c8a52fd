"""The walks of docs/how-it-works.md: which files a hit, a miss, a linearizable read, a PUT and a watch event pass.

A file is a station of a walk if a function there enters another of our files, be it by way of a library's; else it is a
word. Both are measured: the interpreter tells of each call, and which function of ours is the nearest to have made it.
"""

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
WALKS = {
    "a hit": (4, 8),
    "a miss": (12, 20),
    "a linearizable read": (11, 19),
    "a PUT": (10, 15),
    "a watch event": (7, 10),
}
"""With the most stations that each may have, and the most files in all."""

Stations = dict[str, list[str]]
"""Of each station, in the order of the walk, the words that it is the first to use."""

WATCH = "version-watch"
WORKERS = set(counters.WORKERS)


def told() -> dict[str, Stations]:
    """What the document says, walk by walk."""
    tables = re.findall(r"^### The walk of (a .+)\n\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    rows = {walk: [line.split(" | ") for line in table.splitlines()[2:]] for walk, table in tables}
    return {walk: {_files(row[0])[0]: _files(row[2]) for row in found} for walk, found in rows.items()}


def _files(cell: str) -> list[str]:
    return re.findall(r"`((?:consistency|service)/[\w/]+\.py)`", cell)


def all_files(stations: Stations) -> list[str]:
    return [*stations, *(word for words in stations.values() for word in words)]


class Walk:
    """Which files of ours are entered, in their order: by the tasks of the walk, not by those that go on beside."""

    def __init__(self, *, of_watch: bool = False) -> None:
        self._first: dict[str, str] = {}  # of each file: from which one it was entered first
        self._lead_on: set[str] = set()
        self._of_watch = of_watch

    def __enter__(self) -> Walk:
        sys.setprofile(self._entered)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    @property
    def stations(self) -> Stations:
        found: Stations = {file: [] for file in self._first if file in self._lead_on}
        for file, caller in self._first.items():
            if file not in self._lead_on:
                found.setdefault(caller, []).append(file)
        return found

    def _entered(self, frame: FrameType, event: str, _: object) -> None:
        name = _ours(frame)
        if event != "call" or not name or not self._is_ours():
            return
        caller = _caller(frame)
        self._first.setdefault(name, caller)
        if caller and caller != name:
            self._lead_on.add(caller)

    def _is_ours(self) -> bool:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return not self._of_watch
        name = task.get_name() if task else ""
        return name == WATCH if self._of_watch else name not in WORKERS


def _ours(frame: FrameType) -> str:
    """The file of ours that this is a frame of; "" if it is none."""
    file = frame.f_code.co_filename
    return str(Path(file).relative_to(PROJECT)) if file.startswith(ROOMS) else ""


def _caller(frame: FrameType) -> str:
    """The nearest file of ours that has called this; "" where the walk begins, or the loop goes on with it."""
    above = frame.f_back
    while above is not None and not _ours(above):
        above = above.f_back
    return _ours(above) if above is not None else ""


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


def walk(instance: Instance, name: str, attempt: int) -> Stations:
    """The stations and words of one walk, as they are entered."""
    cache = instance.cache
    works: dict[str, Callable[[], Awaitable[object]]] = {
        "a hit": lambda: instance.ask("GET", "a"),
        "a miss": lambda: instance.ask("GET", f"absent-{attempt}"),
        "a linearizable read": lambda: instance.ask("GET", "a?consistency=linearizable"),
        "a PUT": lambda: instance.ask("PUT", f"new-{attempt}", b"2"),  # with all that a new key takes besides
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
        with Walk() as found:
            run(take(works[name]))
        return found.stations
    horizon = cache.status().horizon
    with Walk(of_watch=True) as found:
        run(cache.put("a", b"3"))
        assert until(lambda: cache.status().horizon > horizon)
    return found.stations


@pytest.mark.parametrize("name", WALKS)
def test_the_stations_and_words_of_a_walk_are_those_that_are_entered_in_that_order(
    instance: Instance, name: str
) -> None:
    """A machine that stands still for a second makes a write ask first who answers: so it has three attempts."""
    walks = (walk(instance, name, attempt) for attempt in range(3))
    found = next((found for found in walks if list(found.items()) == list(told()[name].items())), None)
    assert list((found or walk(instance, name, 3)).items()) == list(told()[name].items())


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_stays_short(name: str) -> None:
    stations, files = WALKS[name]
    assert len(told()[name]) <= stations
    assert len(all_files(told()[name])) <= files


def test_the_walks_are_counted_as_they_are() -> None:
    counted = re.findall(r"^\| (a [^|]+) \| (\d+) \| (\d+) \|$", DOCUMENT, re.MULTILINE)
    assert counted == [(walk, str(len(stations)), str(len(all_files(stations)))) for walk, stations in told().items()]
    assert [walk for walk, _, _ in counted] == list(WALKS)


def test_each_station_says_what_happens_there() -> None:
    table = DOCUMENT[DOCUMENT.index("## The walks") : DOCUMENT.index("## One read")]
    said = re.findall(r"^\| `[\w/.]+` \| ([^|]+) \| [^|]* \|$", table, re.MULTILINE)
    assert len(said) == sum(map(len, told().values()))
    assert [words for words in said if len(words.split()) < 3] == []
