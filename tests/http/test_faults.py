"""What HTTP says when etcd fails. Each test has an etcd of its own to harm."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.conftest import Gateway, start_gateway
from tests.support.etcd import EtcdServer, wait_for

BOUND = 0.5
TIMEOUT = 1.0
SLACK = 1.0
"""Seconds granted to a loaded machine on top of what is promised."""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def victim(stack: ExitStack, new_etcd: type[EtcdServer], tmp_path: Path) -> EtcdServer:
    return stack.enter_context(new_etcd(tmp_path))


def start(stack: ExitStack, etcd: EtcdServer, *, wait: bool = True) -> Gateway:
    return start_gateway(
        stack, etcd, "/faults", wait=wait, cache_staleness_bound=BOUND, etcd_timeout=TIMEOUT, lease_ttl=60
    )


@pytest.mark.fault("etcd paused 20 s")
def test_a_paused_etcd_is_503_for_reads(stack: ExitStack, victim: EtcdServer) -> None:
    """Fault matrix: reads from memory for B, then 503 with Retry-After; healthy, not ready, and back by itself."""
    gateway = start(stack, victim)
    gateway.ask("PUT", "/config/a", b"1")
    wait_for(lambda: gateway.ask("GET", "/config/a").headers["X-Cache"] == "HIT")
    victim.pause()
    paused = time.monotonic()
    while (read := gateway.ask("GET", "/config/a")).status_code == 200:
        assert time.monotonic() - paused < BOUND + TIMEOUT + SLACK
    for answer in (read, gateway.ask("GET", "/config/a?use_cache=false"), gateway.ask("GET", "/config/")):
        assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.get_json(force=True)["outcome"] == "not done"
    stale = gateway.ask("GET", "/config/a?stale_if_error=60")
    assert (stale.status_code, stale.data, stale.headers["X-Cache"]) == (200, b"1", "STALE")
    assert int(stale.headers["Age"]) >= 1
    assert gateway.ask("GET", "/healthz").status_code == 200
    ready = gateway.ask("GET", "/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["why_not"]
    victim.resume()
    wait_for(lambda: gateway.ask("GET", "/readyz").status_code == 200)
    assert gateway.ask("GET", "/config/a").data == b"1"


@pytest.mark.fault("etcd paused 20 s")
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_write_to_a_paused_etcd_is_504_and_may_happen(stack: ExitStack, victim: EtcdServer, method: str) -> None:
    """Fault matrix: it was sent, and etcd does it when it wakes up. Nothing in the answer invites to send it again."""
    gateway = start(stack, victim)
    gateway.ask("PUT", "/config/a", b"1")
    victim.pause()
    asked = time.monotonic()
    write = gateway.ask(method, "/config/a", b"2")
    assert time.monotonic() - asked < TIMEOUT + SLACK
    assert (write.status_code, write.get_json(force=True)["outcome"]) == (504, "unknown")
    assert "Retry-After" not in write.headers
    assert "Set-Cookie" not in write.headers
    later = gateway.ask(method, "/config/a", b"2")  # once the connection is given up, nothing is sent any more
    assert (later.status_code, later.get_json(force=True)["outcome"]) in ((503, "not done"), (504, "unknown"))
    victim.resume()
    wait_for(lambda: gateway.ask("GET", "/config/a?use_cache=false").status_code in (200, 404))
    after = gateway.ask("GET", "/config/a?use_cache=false")
    assert after.data in (b"1", b"2") or after.status_code == 404


@pytest.mark.fault("etcd killed for 75 s")
def test_an_etcd_that_was_never_reached_is_503_for_everything(stack: ExitStack, tmp_path: Path) -> None:
    """A write that could not be sent was not done, and says so: it can be tried again."""
    gateway = start(stack, EtcdServer(tmp_path), wait=False)
    for method, path in (
        *(("GET", "/config/a"), ("PUT", "/config/a"), ("DELETE", "/config/a"), ("GET", "/config/")),
        ("GET", "/members/targets"),  # not an empty list: Prometheus would forget the fleet
    ):
        answer = gateway.ask(method, path, b"1" if method == "PUT" else None)
        assert (answer.status_code, answer.get_json(force=True)["outcome"]) == (503, "not done"), method
        assert "Retry-After" in answer.headers
    assert gateway.ask("GET", "/healthz").status_code == 200
    assert gateway.ask("GET", "/readyz").status_code == 503
    assert gateway.ask("GET", "/members").get_json()["members"] == []
    assert gateway.ask("GET", "/metrics").status_code == 200


@pytest.mark.fault("NOSPACE")
def test_a_full_etcd_is_507_for_writes_and_reads_go_on(
    stack: ExitStack, new_etcd: type[EtcdServer], tmp_path: Path
) -> None:
    """Hazard: NOSPACE blocks deletes as well, which put the version."""
    full = stack.enter_context(new_etcd(tmp_path, arguments=("--quota-backend-bytes=200000",)))
    gateway = start(stack, full)
    body = b'"' + b"x" * 20_000 + b'"'
    assert gateway.ask("PUT", "/config/a", body).status_code == 201
    # etcd looks at its size a few times a second, so it notices a little late.
    wait_for(lambda: gateway.ask("PUT", "/config/a", body).status_code == 507)
    deletion = gateway.ask("DELETE", "/config/a")
    assert (deletion.status_code, deletion.get_json(force=True)["outcome"]) == (507, "not done")
    assert gateway.ask("GET", "/config/a?use_cache=false").data == body


@pytest.mark.fault("auth enabled, token expired, password changed")
def test_a_user_without_the_right_is_503_with_the_reason(stack: ExitStack, tmp_path: Path) -> None:
    """A fault of the service's set-up, not of the client's: never 401 or 403, and no password in the message."""
    victim = stack.enter_context(EtcdServer(tmp_path))
    victim.enable_auth("root-password", "config", "hunter2", "/somewhere-else/")
    gateway = start(stack, victim, wait=False)
    for method, path in (("GET", "/config/a"), ("PUT", "/config/a"), ("GET", "/config/")):
        answer = gateway.ask(method, path, b"1" if method == "PUT" else None)
        assert answer.status_code == 503, method
        assert answer.get_json(force=True)["outcome"] == "not done"
        assert "hunter2" not in answer.text
