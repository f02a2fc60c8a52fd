"""Policies that change while several instances write: nothing is stored that breaks the schema of its own revision.

The truth is what etcd tells who watches it from outside; the judge knows nothing of JSON Schema. The same run without
the comparison of the policy (rule 15) stores what it must not, and is found out.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from consistency.etcd.transactions import Commits
from tests.http.conftest import Gateway, start_gateway
from tests.support.etcd import EtcdServer
from torture.control import Control
from torture.truth import Change

pytestmark = pytest.mark.lasting

INSTANCES = 3
WRITERS = 6
POLICIES = 25
WRITES_BETWEEN = 15
"""Attempts, of all writers together, from one policy to the next."""

BOUND = 2.0
"""Seconds. For so long a synchronous write waits at an instance that has just started (rule 12)."""

KEYS = [f"fuzz/{group}/{number}" for group in "ab" for number in range(3)]
MAXIMA = (10, 50, 90)

_numbers = itertools.count()


class Fuzz:
    """One run: writers on several instances, and one who puts policies."""

    def __init__(self, instances: Sequence[Gateway], seed: int) -> None:
        self._instances = instances
        self._seed = seed
        self._ended = threading.Event()
        self._lock = threading.Lock()  # protects the next
        self.answers: Counter[tuple[str, int]] = Counter()

    def run(self) -> None:
        """Until POLICIES have been put. Raises what goes wrong in one of the threads."""
        with ThreadPoolExecutor(WRITERS) as threads:
            writers = [threads.submit(self._write, number) for number in range(WRITERS)]
            try:
                self._put_policies()
            finally:
                self._ended.set()
            for writer in writers:
                writer.result()

    def count(self, *statuses: int) -> int:
        """Writes of documents that were answered so."""
        with self._lock:
            return sum(
                count for (kind, status), count in self.answers.items() if kind != "policy" and status in statuses
            )

    def _put_policies(self) -> None:
        rng = random.Random(self._seed)
        condition = {"If_None_Match": "*"}
        for _ in range(POLICIES):
            before = self.count(200, 201, 204, 404, 412, 422)
            instance = rng.choice(self._instances)
            answer = instance.ask("PUT", "/policy", json.dumps(policy(rng)).encode(), **condition)
            self._note("policy", answer.status_code)
            assert answer.status_code in (200, 201), answer.text
            condition = {"If_Match": answer.headers["ETag"]}
            while self.count(200, 201, 204, 404, 412, 422) < before + WRITES_BETWEEN and not self._ended.wait(0.005):
                pass

    def _write(self, number: int) -> None:
        rng = random.Random(self._seed * 1000 + number)
        try:
            while not self._ended.is_set():
                instance = rng.choice(self._instances)
                kind, ask = rng.choice(WAYS)
                self._note(kind, ask(instance, rng))
        finally:
            self._ended.set()

    def _note(self, kind: str, status: int) -> None:
        with self._lock:
            self.answers[kind, status] += 1


def policy(rng: random.Random) -> dict[str, Any]:
    """Maxima for all keys, and perhaps others for some of them."""
    schemas = [{"prefix": "fuzz/", "schema": {"type": "integer", "maximum": rng.choice(MAXIMA)}}]
    if rng.random() < 0.5:
        schemas.append({"prefix": "fuzz/a/", "schema": {"maximum": rng.choice(MAXIMA)}})
    return {"schemas": schemas}


def put(instance: Gateway, rng: random.Random, query: str = "", **headers: str) -> int:
    path = f"/config/{rng.choice(KEYS)}{query}"
    return instance.ask("PUT", path, str(rng.randrange(100)).encode(), **headers).status_code


def batch(instance: Gateway, rng: random.Random) -> int:
    operations = [{"op": "put", "key": key, "value": rng.randrange(100)} for key in rng.sample(KEYS, 2)]
    return instance.ask("POST", "/config/", json.dumps({"operations": operations}).encode()).status_code


WAYS: list[tuple[str, Callable[[Gateway, random.Random], int]]] = [
    ("put", put),
    ("put in company", put),
    ("put over one", lambda instance, rng: put(instance, rng, If_Match="*")),
    ("put, synchronous", lambda instance, rng: put(instance, rng, "?sync=true")),
    ("batch", batch),
    ("delete", lambda instance, rng: instance.ask("DELETE", f"/config/{rng.choice(KEYS)}").status_code),
]


def violations(changes: Sequence[Change]) -> list[str]:
    """The documents that broke the schema in force when they were written, each with its revision."""
    found = []
    schemas: dict[str, int] = {}
    for change in sorted(changes, key=lambda change: (change.revision, change.key)):
        if change.key == "policy":
            said = json.loads(change.value or "{}")
            schemas = {each["prefix"]: each["schema"]["maximum"] for each in said["schemas"]}
        elif change.key.startswith("config/") and change.value is not None:
            key = change.key.removeprefix("config/")
            counting = max((prefix for prefix in schemas if key.startswith(prefix)), key=len, default=None)
            if counting is not None and int(change.value) > schemas[counting]:
                found.append(f"{key} = {change.value} at {change.revision}, over {schemas[counting]}")
    return found


@pytest.fixture
def instances(etcd: EtcdServer) -> Iterator[tuple[list[Gateway], Control]]:
    prefix = f"/policy-fuzz-{next(_numbers)}"
    with ExitStack() as stack:
        control = stack.enter_context(Control([etcd.endpoint], prefix))
        yield [start_gateway(stack, etcd, prefix, cache_staleness_bound=BOUND) for _ in range(INSTANCES)], control


@pytest.mark.parametrize("seed", [1, 2])
def test_no_document_is_stored_that_breaks_the_schema_in_force_at_its_revision(
    instances: tuple[list[Gateway], Control], seed: int
) -> None:
    gateways, control = instances
    fuzz = Fuzz(gateways, seed)
    fuzz.run()
    control.catch_up()
    changes = control.changes()
    assert sum(change.key == "policy" for change in changes) == POLICIES
    assert fuzz.count(200, 201) > POLICIES, fuzz.answers
    assert fuzz.count(422) > POLICIES, fuzz.answers
    assert violations(changes) == []


def test_without_the_comparison_of_the_policy_such_a_document_is_stored_and_found(
    instances: tuple[list[Gateway], Control], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateways, control = instances
    commit = Commits.commit

    def unguarded(self: Commits, *changes: Any, **more: Any) -> Any:
        return commit(self, *changes, **(more if more.get("new_policy") else {**more, "policy": None}))

    monkeypatch.setattr(Commits, "commit", unguarded)
    monkeypatch.setattr("tests.policy.test_fuzz.policy", _tight_and_loose(itertools.cycle((10, 90))))
    Fuzz(gateways, 1).run()
    control.catch_up()
    assert violations(control.changes()) != []


def _tight_and_loose(maxima: Iterator[int]) -> Callable[[random.Random], dict[str, Any]]:
    return lambda _: {"schemas": [{"prefix": "fuzz/", "schema": {"maximum": next(maxima)}}]}


def test_the_judge_counts_the_longest_prefix_at_the_revision() -> None:
    def change(revision: int, key: str, value: object) -> Change:
        return Change(revision, key, None if value is None else json.dumps(value), 1, 0.0)

    def limits(**maxima: int) -> dict[str, Any]:
        return {"schemas": [{"prefix": f"{name}/", "schema": {"maximum": most}} for name, most in maxima.items()]}

    told = [
        change(1, "config/a/x", 99),
        change(2, "policy", limits(a=10)),
        change(3, "config/a/x", 10),
        change(4, "config/a/x", 11),
        change(5, "config/b/x", 99),
        change(6, "policy", limits(a=90)),
        change(7, "config/a/x", 11),
        change(8, "config/a/x", None),
    ]
    assert violations(told) == ["a/x = 11 at 4, over 10"]
