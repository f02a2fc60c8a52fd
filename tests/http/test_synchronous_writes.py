"""`?sync=true` on every write: it returns when the whole fleet has heard of it (rule 12).

The bound is short here: soon after a start nobody knows who has just left, so the first writes wait it out.
"""

from __future__ import annotations

import pytest

from tests.http.conftest import Gateway, StartGateway
from tests.http.test_atomic_batches import delete, post, put

KEY = "/config/a"
BOUND = 1.0
ROUNDS = 100


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_an_instance_alone_is_the_whole_fleet(gateways: StartGateway, method: str) -> None:
    """1/1; and without being asked nobody is counted."""
    gateway = gateways(cache_staleness_bound=BOUND)
    gateway.ask("PUT", KEY, b"1")
    assert "X-Fleet-Acks" not in gateway.ask("PUT", f"{KEY}?sync=false", b"1").headers
    written = gateway.ask(method, f"{KEY}?sync=true", b"2")
    assert written.status_code in (200, 204)
    assert written.headers["X-Fleet-Acks"] == "1/1"
    assert "X-Fleet-Acks" not in gateway.ask(method, KEY, b"3").headers


def test_a_batch_is_synchronous_as_well(gateways: StartGateway) -> None:
    """Its one version event is acknowledged for all of its keys."""
    one, _ = gateways(cache_staleness_bound=BOUND), gateways(cache_staleness_bound=BOUND)
    assert post(one, put("a"), delete("b"), query="?sync=true").headers["X-Fleet-Acks"] == "2/2"
    assert "X-Fleet-Acks" not in post(one, put("a"), query="?sync=false").headers


def test_no_instance_serves_the_old_value_after_a_synchronous_write(gateways: StartGateway) -> None:
    """Without cookie and from memory, although the old value would be fresh there for most of a second.

    100 rounds, since an ordinary write nearly always wins the race.
    """
    one, other = gateways(cache_staleness_bound=BOUND), gateways(cache_staleness_bound=BOUND)
    hits = 0
    for count in range(ROUNDS):
        written = one.ask("PUT", f"{KEY}?sync=true", b"%d" % count)
        assert written.headers["X-Fleet-Acks"] == "2/2"
        assert other.ask("GET", KEY).data == b"%d" % count
        hits += other.ask("GET", KEY).headers["X-Cache"] == "HIT"
    assert hits > ROUNDS / 2


def test_a_synchronous_write_that_is_refused_tells_of_no_acknowledgements(gateway: Gateway) -> None:
    """Nothing was written that could be acknowledged."""
    gateway.ask("PUT", KEY, b"1")
    refused = gateway.ask("PUT", f"{KEY}?sync=true", b"2", If_None_Match="*")
    assert refused.status_code == 412
    assert "X-Fleet-Acks" not in refused.headers
