"""The peers do what they are there for: a weak peer would flatter us."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from bench.client import Client, answers
from bench.documents import document
from bench.peers import raw_watch
from bench.programs import find
from tests.bench.programs import need
from tests.support.etcd import EtcdServer, dying_with_us, free_ports, wait_for
from tests.support.instances import environment

pytestmark = pytest.mark.alone

PROJECT = Path(__file__).parents[2]
PREFIX = "/bench"
READY_WITHIN = 30.0
READS = 50


@contextmanager
def running(log: Path, *command: str) -> Iterator[None]:
    """The command as a child process."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            dying_with_us(list(command)), cwd=PROJECT, env=environment(), stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


@contextmanager
def flask_with_redis(directory: Path, etcd: EtcdServer, *more: str) -> Iterator[tuple[str, redis.Redis]]:
    """The peer, once it answers, and a client of its Redis."""
    etcd.etcdctl("put", f"{PREFIX}/config/a", "1")
    redis_port, port = free_ports(2)
    asked = ["--port", str(port), "--redis", str(redis_port), "--etcd", etcd.endpoint, "--prefix", PREFIX]
    with ExitStack() as stack:
        daemon = str(find("redis-server"))
        stack.enter_context(
            running(directory / "redis.log", daemon, "--port", str(redis_port), "--save", "", "--dir", str(directory))
        )
        peer = [sys.executable, "-m", "bench.peers.serve", "redis", *asked, *more]
        stack.enter_context(running(directory / "peer.log", *peer))
        url = f"http://127.0.0.1:{port}/config/a"
        wait_for(lambda: answers(url), READY_WITHIN, "the peer answers")
        client = stack.enter_context(redis.Redis(port=redis_port))
        yield url, client


def gets(client: redis.Redis) -> int:
    """How many GETs Redis has answered."""
    return int(client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])


@pytest.mark.parametrize(("tracking", "asked"), [(("--tracking",), False), ((), True)])
def test_redis_is_asked_for_every_hit_unless_its_client_caches(
    tmp_path: Path, etcd: EtcdServer, tracking: tuple[str, ...], asked: bool
) -> None:
    """Counted by Redis. Each of the peer's threads may ask once for a connection of its own."""
    need("redis-server")
    with flask_with_redis(tmp_path, etcd, *tracking) as (url, client), Client(url) as reader:
        for _ in range(READS):
            reader.ask("GET", "/config/a")
        before = gets(client)
        for _ in range(READS):
            assert reader.ask("GET", "/config/a")[0] == b"1"
        assert (gets(client) - before == READS) is asked
        assert (gets(client) - before == 0) is not asked


def test_client_side_cache_is_told_of_changes(tmp_path: Path, etcd: EtcdServer) -> None:
    """Else it would be no cache but a constant."""
    need("redis-server")
    with flask_with_redis(tmp_path, etcd, "--tracking") as (url, client), Client(url) as reader:
        assert reader.ask("GET", "/config/a")[0] == b"1"
        client.set("a", b"2")
        wait_for(lambda: reader.ask("GET", "/config/a")[0] == b"2", what="the change is seen")


def test_bare_watch_sees_each_put_and_takes_no_less_than_no_time(etcd: EtcdServer) -> None:
    """Each delay belongs to one put: an event of another would be refused."""
    before = time.monotonic()
    seen = list(raw_watch.delays(etcd.endpoint, 0.3))
    assert len(seen) > 3
    assert all(0.0 <= delay <= (time.monotonic() - before) * 1e3 for delay in seen)
    assert etcd.etcdctl("get", "--print-value-only", raw_watch.KEY.decode()).encode().strip() == document(0)
