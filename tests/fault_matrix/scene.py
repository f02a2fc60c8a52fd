"""What the tests of the fault matrix share: an instance with short settings, and what is asked of it over and over.

The bound, the lease and the deadline are short, so that a fault outlives them within seconds. Slack is for loaded
machines only, and is never granted to what the protocol promises exactly.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

BOUND = 1.0
TIMEOUT = 3.0
AMPLE = "10"
"""ETCD_TIMEOUT where every request has to be answered, on however slow a machine."""

TTL = 2
SLACK = 5.0
PREFIX = "/matrix"
UNCACHED = {"use_cache": "false"}
LINEARIZABLE = {"consistency": "linearizable"}


@contextlib.contextmanager
def running(directory: Path, *endpoints: str, **settings: str) -> Iterator[InstanceProcess]:
    """An instance that is ready, holds a slot, and has been told so by its watch."""
    short = {
        "ETCD_ENDPOINTS": ",".join(endpoints),
        "USER_KEY_PREFIX": PREFIX,
        "CACHE_STALENESS_BOUND": str(BOUND),
        "ETCD_TIMEOUT": str(TIMEOUT),
        "LEASE_TTL": str(TTL),
    }
    with InstanceProcess(directory, **(short | settings)) as instance:
        instance.wait_for_slot()
        assert within(SLACK, lambda: membership(instance) is not None)
        yield instance


class Membership(NamedTuple):
    """What tells one membership from the next in the same slot."""

    slot: int
    lease: str
    since_revision: int


def membership(instance: InstanceProcess) -> Membership | None:
    """Of that instance, as it sees itself."""
    for member in instance.request("GET", "/members").json()["members"]:
        if member["me"]:
            return Membership(member["slot"], member["lease"], member["since_revision"])
    return None


def metric(instance: InstanceProcess, name: str, **labels: str) -> float:
    """The sum of a metric's samples that bear these labels."""
    families = text_string_to_metric_families(instance.request("GET", "/metrics").text)
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def is_hit(instance: InstanceProcess, key: str = "k") -> bool:
    """Whether a default read is served from memory at this moment."""
    answer = instance.get(key)
    return answer.ok and answer.headers["X-Cache"] == "HIT"


def warm(instance: InstanceProcess, key: str = "k", value: bytes = b"1") -> None:
    """Writes, and reads until memory serves it."""
    assert instance.put(key, value).ok
    assert within(5.0, lambda: is_hit(instance, key))


def hits_end(instance: InstanceProcess, away: float, value: bytes = b"1") -> None:
    """Default reads: ≤ B. Whatever is answered was asked for before the last proof was B old, and is the old value.

    away: the moment since when nothing of etcd reaches the instance. No proof was sent after it.
    """
    while True:
        asked = time.monotonic()
        answer = instance.get("k")
        if answer.status_code == 503:
            is_not_done(answer)
            return
        assert (answer.status_code, answer.content) == (200, value)
        assert asked < away + BOUND


def is_not_done(answer: requests.Response) -> None:
    """503, and says when to come back."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["outcome"] == "not done"


def nothing_can_be_asked(instance: InstanceProcess) -> None:
    """What an instance says that can't reach etcd: 503 within the deadline; alive, and not ready, with a reason."""
    for how in (UNCACHED, LINEARIZABLE, {}):
        asked = time.monotonic()
        is_not_done(instance.get("k", params=how))
        assert time.monotonic() < asked + TIMEOUT + SLACK, how
    assert instance.answers(200, "/healthz")
    assert within(BOUND + SLACK, lambda: instance.answers(503, "/readyz"))
    ready = instance.request("GET", "/readyz").json()
    assert not ready["ready"]
    assert "etcd" in ready["why_not"]


def is_back(instance: InstanceProcess, seconds: float) -> None:
    """Within so much time (and slack) it is ready, a member, and serves from memory what etcd has."""
    assert within(seconds + SLACK, lambda: instance.answers(200, "/readyz"))
    assert within(seconds + SLACK, lambda: membership(instance) is not None and is_hit(instance))
    assert instance.get("k").content == instance.get("k", params=UNCACHED).content


def times_written(etcd: EtcdServer, key: str) -> int:
    """How often etcd has written a document since it was created."""
    return int(_json(etcd, "get", f"{PREFIX}/config/{key}")["kvs"][0]["version"])


def members_in(etcd: EtcdServer) -> set[int]:
    """The slots that are held, as etcd has it."""
    found = etcd.etcdctl("get", "--keys-only", f"{PREFIX}/members/", f"{PREFIX}/members/:").split()
    return {int(key.rpartition("/")[2]) for key in found if not key.endswith("/ack")}


def always(instance: InstanceProcess, *paths: str) -> Callable[[], None]:
    """A piece of work for `meanwhile`: asks for each path, and insists on 200."""

    def ask() -> None:
        for path in paths:
            answer = instance.request("GET", path)
            assert answer.status_code == 200, (path, answer.status_code, answer.text)

    return ask


def _json(etcd: EtcdServer, *arguments: str) -> Any:
    return json.loads(etcd.etcdctl(*arguments, "--write-out=json"))
