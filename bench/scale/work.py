"""The work of clients, the same for every design: what is read and written, in which order.

Requests go one after the other, over one connection to each instance. Before a part is counted its documents are warm:
every instance has read and shows them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from bench.documents import document
from bench.listeners import Streams
from bench.listeners import following as streams_of
from bench.processes import Client, wait_for
from bench.scale.counts import Part
from bench.scale.fleet import Fleet

FRESH_WITHIN = 30.0
"""Seconds in which every design has to show a write: their bounds are shorter, but the machine may be busy."""

PASSES = 5
"""Readings of all keys a second while the rate of writes is varied."""

RATED_KEYS = 10


@dataclass(frozen=True, slots=True)
class Amount:
    """keys: documents that every instance has read. size: bytes of a document. idle: seconds.

    reads: of those documents, in all, however many instances; `rate` a second, or slower. writes: of one key that all
    instances read, and as many of keys that nobody reads. few: writes of a step.
    streams: clients of each instance that follow changes.
    key_steps, rate_steps (writes a second), size_steps: what is varied at STEPS_AT instances.
    """

    keys: int = 50
    size: int = 1_000
    idle: float = 10.0
    reads: int = 4_000
    rate: float = 800.0
    writes: int = 10
    few: int = 2
    streams: int = 1_000
    seconds: float = 6.0
    key_steps: tuple[int, ...] = (10, 100, 1_000)
    rate_steps: tuple[float, ...] = (0.5, 2.0, 5.0)
    size_steps: tuple[int, ...] = (100, 1_000, 10_000, 100_000)


STEPS_AT = 4
"""Instances at which keys, rates and sizes are varied."""

SMOKE = Amount(
    keys=5, idle=1.0, reads=100, rate=500.0, writes=3, few=1, streams=20, seconds=1.0,
    key_steps=(5,), rate_steps=(2.0,), size_steps=(100,),
)  # fmt: skip
"""Says little about cost, but what holds by construction holds for it."""


class Work:
    """On a fleet as large as it is now. As a context manager it ends its connections. For one thread."""

    def __init__(self, fleet: Fleet, amount: Amount) -> None:
        self._fleet = fleet
        self._amount = amount
        self._end = ExitStack()
        self._clients = [self._end.enter_context(Client(url, timeout=30.0)) for url in fleet.urls]
        self._place = f"of-{len(self._clients)}"
        self._current: dict[str, bytes] = {}  # what was written last
        self._reads = self._writes = 0  # since the part began
        self._serial = itertools.count(1)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    # --- the parts

    def idle(self) -> Part:
        """Nothing, for some time."""
        return self._counted(lambda: time.sleep(self._amount.idle))

    def reading(self) -> Part:
        """Reads of warm documents: instances take turns, and each goes through all keys."""
        names = self._warm("warm", self._amount.keys)
        turns = ((name, client) for name in itertools.cycle(names) for client in self._clients)
        return self._counted(lambda: self._read_at_pace(turns))

    def hot_writes(self, count: int, size: int) -> Part:
        """Writes of one key; after each, every instance is read until it shows it."""
        (name,) = self._warm(f"hot-{size}", 1, size)
        return self._counted(lambda: repeat(count, lambda: self._write_and_see(name, size)))

    def cold_writes(self, count: int, size: int) -> Part:
        """Writes of keys that nobody reads."""
        names = self._names(f"cold-{size}", count)
        return self._counted(lambda: self._write_all(names, size))

    def keys(self, keys: int) -> Part:
        """Writes of one key; after each, when every instance shows it, all instances read all keys."""
        names = self._warm(f"keys-{keys}", keys)
        return self._counted(lambda: repeat(self._amount.few, lambda: self._write_and_read_all(names)))

    def rate(self, writes: float) -> Part:
        """`writes` a second of one key, for some seconds, while all instances read ten keys, five times a second."""
        names = self._warm(f"rate-{writes}", RATED_KEYS)
        return self._counted(lambda: self._write_at(writes, names))

    def following(self, streams: int, writes: int) -> dict[str, Part]:
        """`streams` clients of each instance follow changes: while nothing happens, and told of so many writes."""
        (name,) = self._warm("told", 1)
        prefix = name.rpartition("/")[0] + "/"
        with streams_of(self._fleet.urls, streams, prefix) as those:
            waiting = self._counted(lambda: time.sleep(self._amount.idle))
            told = self._counted(lambda: repeat(writes, lambda: self._write_and_tell(name, those)))
        return {"waiting": waiting, "told": told}

    # --- how they are done

    def _counted(self, do: Callable[[], object]) -> Part:
        self._reads = self._writes = 0
        audits, before, began = self._fleet.audits(), self._fleet.counts(), time.monotonic()
        do()
        done = self._fleet.counts() - before
        seconds, audits = time.monotonic() - began, self._fleet.audits() - audits
        loads = self._fleet.loads(done, self._writes, audits)
        return Part(done, seconds, self._reads, self._writes, loads)

    def _warm(self, what: str, count: int, size: int = 0) -> Sequence[str]:
        names = self._names(what, count)
        self._write_all(names, size)
        self._see(names)
        return names

    def _names(self, what: str, count: int) -> Sequence[str]:
        return [f"{self._place}/{what}/{number:04}" for number in range(count)]

    def _read_at_pace(self, turns: Iterator[tuple[str, Client]]) -> None:
        for _ in paced(self._amount.rate, self._amount.reads / self._amount.rate):
            name, client = next(turns)
            self._read(client, name)

    def _write_all(self, names: Iterable[str], size: int) -> None:
        for name in names:
            self._write(name, size)

    def _write_and_see(self, name: str, size: int) -> None:
        self._write(name, size)
        self._see([name])

    def _write_and_tell(self, name: str, those: Streams) -> None:
        before = those.told()
        self._write(name)
        those.wait_for(before + 1)

    def _write_and_read_all(self, names: Sequence[str]) -> None:
        self._write_and_see(names[0], self._amount.size)
        self._read_all(names)

    def _write_at(self, rate: float, names: Sequence[str]) -> None:
        due = 0.0
        for _ in paced(PASSES, self._amount.seconds):
            due += rate / PASSES
            while due >= 1.0:
                self._write(names[0])
                due -= 1.0
            self._read_all(names)

    def _read_all(self, names: Iterable[str]) -> None:
        for name, client in itertools.product(names, self._clients):
            self._read(client, name)

    def _see(self, names: Iterable[str]) -> None:
        """Returns when every instance shows what was written last. Raises TimeoutError."""
        for name, client in itertools.product(names, self._clients):
            wait_for(partial(self._shows, client, name), FRESH_WITHIN, f"{name} is fresh")

    def _shows(self, client: Client, name: str) -> bool:
        try:
            return self._read(client, name) == self._current[name]
        except ValueError:  # 404: a design that is told of documents has not been told of this one yet
            return False

    def _read(self, client: Client, name: str) -> bytes:
        self._reads += 1
        return client.ask("GET", f"/config/{name}")[0]

    def _write(self, name: str, size: int = 0) -> None:
        """Instances take turns."""
        self._writes += 1
        number = next(self._serial)
        body = document(number, size or self._amount.size)
        client = self._clients[number % len(self._clients)]
        client.ask("PUT", f"/config/{name}", body)
        self._current[name] = body


def repeat(times: int, do: Callable[[], object]) -> None:
    """Does it that often."""
    for _ in range(times):
        do()


def paced(rate: float, seconds: float) -> Iterator[int]:
    """Counts `rate` times a second, `rate` x `seconds` times; never faster, and slower if it is used slowly."""
    began = time.monotonic()
    for number in range(round(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield number
