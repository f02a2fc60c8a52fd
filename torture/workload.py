"""Clients as users have them: sessions, all kinds of reads and writes, keys that are hot, warm and cold.

Owns the clients' threads, their connections and the file of the history. A process of its own, so that the clients'
pace does not depend on the proxies'; `python -m torture.workload` reads a `Load` as JSON from its standard input,
and works until that is closed.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from random import Random

from torture.client import Client, Connections
from torture.followed import Told
from torture.following import Follower
from torture.history import CHECKED, Kind, Level, Operation, Remembers

KEYS = {"hot": 4, "warm": 10, "cold": 300}
"""How many keys there are of each sort."""

READ, WRITTEN = (35, 50, 15), (60, 5, 35)
"""How often each sort is read and written: warm keys are served from memory most of the time."""

IN_FLIGHT = 6
"""Requests to one instance at a time, so that a hung one does not get hold of every client."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the process has to do. `rate`: operations a second, of all clients. `offers`: levels, "batch", "changes".

    history, followed, held: the files in which the clients, the followers of /changes, and the clients of the library
    write down what they were told, or hold.
    """

    seed: int
    clients: int
    rate: float
    ports: tuple[int, ...]
    offers: tuple[str, ...]
    history: str
    followed: str
    held: str
    followers: int
    library: int

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Load:
        """The inverse of `to_json`."""
        found = json.loads(line)
        return cls(**{**found, "ports": tuple(found["ports"]), "offers": tuple(found["offers"])})


class Balancer:
    """Round robin over the instances, past those that have enough to do."""

    def __init__(self, instances: int) -> None:
        self._lock = threading.Lock()  # protects both
        self._next = 0
        self._in_flight = [0] * instances

    def take(self) -> int:
        """The instance for the next request; `give_back` has to follow."""
        with self._lock:
            size = len(self._in_flight)
            order = [(self._next + step) % size for step in range(size)]
            chosen = next((i for i in order if self._in_flight[i] < IN_FLIGHT), order[0])
            self._next = (chosen + 1) % size
            self._in_flight[chosen] += 1
            return chosen

    def give_back(self, instance: int) -> None:
        """Its request has been answered."""
        with self._lock:
            self._in_flight[instance] -= 1


class Habits:
    """What one client does next: its own random numbers, its own unique values."""

    def __init__(self, number: int, load: Load) -> None:
        self._random = Random(f"{load.seed}:{number}")
        self._values = (f'"{number}-{serial}"' for serial in count())
        self._offers = set(load.offers)

    def act(self, client: Client) -> Operation:
        """One operation."""
        chosen = self._random.choices(self._ACTS, self._WEIGHTS)[0]
        return chosen(self, client)

    def _key(self, weights: tuple[int, ...]) -> str:
        sort = self._random.choices(tuple(KEYS), weights)[0]
        return f"{CHECKED}{sort}-{self._random.randrange(KEYS[sort])}"

    def _level(self, level: Level, otherwise: Level) -> Level:
        return level if level in self._offers else otherwise

    def _read(self, client: Client) -> Operation:
        key = self._key(READ)
        known = client.known.get(key, 0) if self._random.random() < 0.1 else 0
        return client.read(key, Level.DEFAULT, unless=known)

    def _uncached(self, client: Client) -> Operation:
        return client.read(self._key(READ), Level.UNCACHED)

    def _linearizable(self, client: Client) -> Operation:
        return client.read(self._key(READ), self._level(Level.LINEARIZABLE, Level.UNCACHED))

    def _stale(self, client: Client) -> Operation:
        return client.read(self._key(READ), self._level(Level.STALE, Level.DEFAULT), asked=self._random.choice((2, 10)))

    def _past(self, client: Client) -> Operation:
        if Level.PAST not in self._offers or not client.seen:
            return self._read(client)
        return client.read(self._key(READ), Level.PAST, asked=max(1, client.seen - self._random.randrange(200)))

    def _put(self, client: Client) -> Operation:
        return client.write(Kind.PUT, self._key(WRITTEN), next(self._values), self._sync())

    def _delete(self, client: Client) -> Operation:
        return client.write(Kind.DELETE, self._key(WRITTEN), None, self._sync())

    def _conditional(self, client: Client) -> Operation:
        key = self._key(WRITTEN)
        known = client.known.get(key, 0)
        condition = self._random.choice((str(known) if known else "absent", "exists", "absent"))
        if condition != "absent" and self._random.random() < 0.3:
            return client.write(Kind.DELETE, key, None, Level.DEFAULT, condition)
        return client.write(Kind.PUT, key, next(self._values), Level.DEFAULT, condition)

    def _batch(self, client: Client) -> Operation:
        if "batch" not in self._offers:
            return self._put(client)
        keys = list(dict.fromkeys(self._key(WRITTEN) for _ in range(self._random.randrange(2, 6))))
        batch = tuple((key, None if self._random.random() < 0.2 else next(self._values)) for key in keys)
        conditions = tuple(self._condition(client, key, value) for key, value in batch)
        return client.batch(batch, self._sync(), conditions)

    def _condition(self, client: Client, key: str, value: str | None) -> str:
        """For one change of a batch; most have none, so that most batches are done."""
        known = client.known.get(key, 0)
        chosen = self._random.choice(("", "", "", "", "", "exists", "absent", str(known or "")))
        return "" if chosen == "absent" and value is None else chosen

    def _sync(self) -> Level:
        return self._level(Level.SYNC, Level.DEFAULT) if self._random.random() < 0.3 else Level.DEFAULT

    _ACTS: Sequence[Callable[[Habits, Client], Operation]] = (
        _read, _uncached, _linearizable, _stale, _past, _put, _delete, _conditional, _batch,
    )  # fmt: skip
    _WEIGHTS = (56, 7, 10, 5, 2, 10, 3, 5, 3)


class Crowd:
    """All clients and followers of this process. `run` returns when `ended` is set and every one has come back."""

    def __init__(self, load: Load, record: Callable[[Operation], None], told: Callable[[Told], None]) -> None:
        self._load = load
        self._record = record
        self._told = told
        self._balancer = Balancer(len(load.ports))
        self.ended = threading.Event()

    def run(self) -> None:
        """Starts the clients, waits for `ended`, and joins them."""
        threads = [
            threading.Thread(target=self._live, args=(number,), name=f"client-{number}", daemon=True)
            for number in range(self._load.clients)
        ]
        followers = self._load.followers if "changes" in self._load.offers else 0
        following = [Follower(number, self._load.ports, self._load.seed, self._told) for number in range(followers)]
        for number, follower in enumerate(following):
            name = f"follower-{number}"
            threads.append(threading.Thread(target=follower.live, args=(self.ended,), name=name, daemon=True))
        for thread in threads:
            thread.start()
        self.ended.wait()
        for follower in following:
            follower.hang_up()
        for thread in threads:
            thread.join(20)

    def _live(self, number: int) -> None:
        connections = Connections(self._load.ports)
        client = Client(number, tuple(Remembers)[number % 3], connections)
        habits = Habits(number, self._load)
        interval = self._load.clients / self._load.rate
        due = time.monotonic() + interval * number / self._load.clients
        while not self.ended.wait(max(0.0, due - time.monotonic())):
            client.instance = self._balancer.take()
            try:
                self._record(habits.act(client))
            finally:
                self._balancer.give_back(client.instance)
            due = max(due + interval, time.monotonic() - 1.0)  # a hung client catches up with one second at most
        connections.close()


def main() -> None:
    """See the module's opening."""
    load = Load.from_json(sys.stdin.readline())
    lock = threading.Lock()  # protects the files
    with Path(load.history).open("w") as history, Path(load.followed).open("w") as followed:

        def record(operation: Operation) -> None:
            with lock:
                history.write(operation.to_json() + "\n")

        def tell(told: Told) -> None:
            with lock:
                followed.write(told.to_json() + "\n")

        crowd = Crowd(load, record, tell)
        worker = threading.Thread(target=crowd.run, name="crowd")
        worker.start()
        sys.stdin.read()
        crowd.ended.set()
        worker.join()


if __name__ == "__main__":
    main()
