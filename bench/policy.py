"""What a policy costs those who write: `python -m bench.policy`. Guarded writes, records of history, and a schema.

All variants are measured in one run, and take turns. Latencies are those of one writer, one write after the other;
throughput is wrk's, on an instance for each variant. On an etcd of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from bench import wrk
from bench.contest import Figures, Rounds, percentiles, turned
from bench.documents import document
from bench.measures import CROWD
from bench.processes import Client, Metrics, explain_missing, say, wait_for
from bench.report import machine, table, write_document
from bench.scale.designs import Etcd
from bench.scale.fleet import OURS, Fleet, sizes
from bench.stage import Effort, Stage
from consistency.etcd.transactions import range_end

HOME = Path("instance")
BEGIN, END = "<!-- written by make bench-policy -->", "<!-- end of what make bench-policy writes -->"

SIZE = 1_000
"""Bytes of a document."""

BEFORE = 5
"""Writes of each kind that are not counted: an instance that has just started waits longer."""

TRIMMED_WITHIN = 90.0
"""Seconds for the removal of the records that a load has left beyond those that are kept."""

BESIDE = 3
"""Keys that may stand in etcd beside the records of a key: notes on them."""

KINDS = {
    "PUT": "/config/plain/k",
    "PUT, `sync=true`": "/config/plain/k?sync=true",
    "PUT of a guarded key": "/config/guarded/k",
}

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": SIZE},
        "limit": {"type": "integer", "minimum": 0},
        "text": {"type": "string", "maxLength": 2 * SIZE},
    },
    "required": ["name", "limit", "text"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Way:
    """How documents are put: records that are kept of each key, and whether a schema is checked."""

    keep: int
    schema: bool

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"`keep` {self.keep}, {'a schema' if self.schema else 'no schema'}"

    @property
    def policy(self) -> Mapping[str, Any]:
        """What asks for that."""
        schemas = [{"prefix": "", "schema": SCHEMA}] if self.schema else []
        return {"history": {"keep": self.keep}, "schemas": schemas}


WAYS = (Way(20, schema=False), Way(0, schema=False), Way(20, schema=True), Way(0, schema=True))


@dataclass(frozen=True, slots=True)
class Amount:
    """writes: of each kind, for latencies. rounds: of each way, seconds: of each such load."""

    writes: int = 200
    rounds: int = 5
    seconds: int = 2


QUICK = Amount(writes=5, rounds=1, seconds=1)
"""Shows that everything runs, not how fast."""

Latencies = Mapping[int, Mapping[str, Figures]]
"""By instances and kind, in ms."""

Costs = Mapping[str, Figures]
"""By way: the figures of COLUMNS."""

COLUMNS = {
    "requests/s": "PUT/s",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "sent": "bytes to etcd a PUT",
    "file": "bytes of etcd's file a PUT",
    "stay": "bytes that stay a key",
}
"""What the table says of the costs of a way, and how it calls it."""


def main(given: Sequence[str] | None = None) -> int:
    """0 measured, 2 wrong argument or a program is missing; whatever else goes wrong is raised."""
    arguments = _arguments(given)
    if missing := explain_missing("wrk"):
        sys.stderr.write(f"{missing}\n")
        return 2
    amount = QUICK if arguments.quick else Amount()
    about = machine(Effort(rounds=amount.rounds, seconds=amount.seconds))
    HOME.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=HOME) as home,
        Stage(Path(home), Effort(), own_sessions=True) as stage,
    ):
        fleet = _latencies(stage, Path(home) / "fleet", arguments.instances, amount)
        ways = costs(stage, amount)
    tables = markdown(fleet, ways, about)
    say(tables)
    if arguments.document:
        write_document(arguments.document, tables, BEGIN, END)
    return 0


# --- how long a write takes


def _latencies(stage: Stage, directory: Path, instances: Iterable[int], amount: Amount) -> Latencies:
    directory.mkdir()
    found = {}
    with Fleet(OURS, stage.etcd, directory) as fleet:
        fleet.grow_to(1)
        with Client(fleet.urls[0]) as client:
            put_policy(client, {"guarded": ["guarded/"]})
        for size in instances:
            fleet.grow_to(size)
            found[size] = latencies(fleet.urls[0], amount.writes)
    return found


def latencies(url: str, writes: int) -> Mapping[str, Figures]:
    """Of each kind so many writes by one client, from sending to answer; another kind begins each round.

    The policy guards `guarded/`.
    """
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Client(url, timeout=30.0) as client:
        for number in range(BEFORE + writes):
            for kind in turned(list(KINDS), number):
                body, began = document(number, SIZE), time.perf_counter()
                client.ask("PUT", KINDS[kind], body)
                if number >= BEFORE:
                    found[kind].append(1e3 * (time.perf_counter() - began))
    return {kind: percentiles(delays) for kind, delays in found.items()}


def put_policy(client: Client, policy: Mapping[str, Any]) -> None:
    """The first one of a fleet."""
    client.ask("PUT", "/policy", json.dumps(policy).encode(), {"If-None-Match": "*"})


# --- how many writes there are, and what they leave in etcd


def costs(stage: Stage, amount: Amount) -> Costs:
    """Of each way: an instance and a prefix for each, all on one etcd. Another one begins each round."""
    rounds: dict[str, list[Figures]] = {way.name: [] for way in WAYS}
    with ExitStack() as stack:
        urls = {}
        for number, way in enumerate(WAYS):
            instance = stack.enter_context(stage.another_instance(USER_KEY_PREFIX=_prefix(number)))
            urls[way.name] = instance.url
            with Client(instance.url) as client:
                put_policy(client, way.policy)
        for number in range(amount.rounds):
            for name in turned(list(urls), number):
                rounds[name].append(_load(stage, urls[name], amount.seconds))
        stay = {way.name: _stay(stage.etcd, _prefix(number), way.keep) for number, way in enumerate(WAYS)}
    found = {name: Rounds(tuple(each)) for name, each in rounds.items()}
    return {
        name: {"stay": stay[name], **{figure: each.outcome(figure) for figure in each.ours[0]}}
        for name, each in found.items()
    }


def _prefix(number: int) -> str:
    return f"/policy-{number}"


def _load(stage: Stage, url: str, seconds: int) -> Figures:
    lines = (f"PUT\t/config/k{number:03}\t{document(number, SIZE).decode()}" for number in range(CROWD))
    asked = wrk.listed(url, stage.lines("policy", lines))
    before = _sizes(stage.etcd)
    found, _ = wrk.run(asked, seconds=seconds, connections=CROWD, own_session=True)
    after = _sizes(stage.etcd)
    writes = found["requests/s"] * seconds
    return {**found, **{what: (after[what] - before[what]) / writes for what in after}}


def _sizes(endpoint: str) -> Figures:
    """sent: to etcd, so far. file: what is in use of its file. Bytes."""
    names = {"sent": "etcd_network_client_grpc_received_bytes_total", "file": "etcd_mvcc_db_total_size_in_use_in_bytes"}
    metrics = Metrics(endpoint)
    return {what: metrics.total(name) for what, name in names.items()}


def _stay(endpoint: str, prefix: str, keep: int) -> float:
    """Bytes of names and values that there are of a key, once its records have been trimmed. Raises TimeoutError."""
    etcd = Etcd(endpoint, prefix)
    past = f"{prefix}/past/".encode()

    def kept() -> int:
        asked = pb.RangeRequest(key=past, range_end=range_end(past), count_only=True)
        return int(etcd.kv.Range(asked, timeout=10.0).count)

    wait_for(lambda: kept() <= CROWD * (keep + BESIDE), TRIMMED_WITHIN, f"of each key {keep} records are left")
    found = 0
    for part in (f"{prefix}/config/".encode(), past):
        answer = etcd.kv.Range(pb.RangeRequest(key=part, range_end=range_end(part)), timeout=10.0)
        found += sum(len(each.key) + len(each.value) for each in answer.kvs)
    return found / CROWD


# --- how it is shown


def markdown(fleet: Latencies, ways: Costs, about: str) -> str:
    """Both tables, and where they come from."""
    times = [
        (str(size), kind, f"{each['p50']:.1f}", f"{each['p99']:.1f}", f"{each['p50'] / kinds['PUT']['p50']:.1f}")
        for size, kinds in fleet.items()
        for kind, each in kinds.items()
    ]
    titles = ("instances", "one write after the other", "p50, ms", "p99, ms", "p50 ÷ a PUT's")
    found = [(name, *(f"{each[figure]:,.0f}" for figure in COLUMNS)) for name, each in ways.items()]
    columns = (f"{CROWD} connections", *COLUMNS.values())
    return "\n".join([*textwrap.wrap(about, 120), "", *table(titles, times), "", *table(columns, found)])


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.policy", description=__doc__)
    parser.add_argument(
        "--instances", type=sizes, default="1,8,64", help="of which a write is timed (default: %(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="very little of all: shows that it runs")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the tables into this document, too")
    return parser.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
