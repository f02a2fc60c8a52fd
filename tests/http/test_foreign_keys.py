"""Keys that another tool has put into etcd and no path can name: left out, counted, and never in anybody's way."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote

import grpc  # type: ignore[import-untyped]
import pytest
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.documents.listings import is_addressable
from tests.http.conftest import Gateway, start_gateway
from tests.http.test_rollback import put, roll
from tests.support.etcd import EtcdServer

UNADDRESSABLE = [b"", b"/", b"a//b", b"/a", b"a/", b".", b"a/../b", b"\xff\xfe", b"a\xffb", b"\x00", b"a\x00b", b"a\nb",
                 "a\x85b".encode(), b"\xed\xa0\x80", b"\xff" * 600, b"a" * 513, b"a" * 512 + b"\xff" * 9]  # fmt: skip
GOOD = [b"a", b"a/b", "é".encode(), b"z", b"a" * 512, "\U0010ffff".encode()]

_numbers = itertools.count()


class Etcd:
    """The same etcd, past the service."""

    def __init__(self, server: EtcdServer, prefix: str) -> None:
        self._channel = grpc.insecure_channel(server.endpoint.removeprefix("http://"))
        self._kv = pb.KVStub(self._channel)
        self._documents = f"{prefix}/config/".encode()

    def put(self, name: bytes) -> None:
        self._kv.Put(pb.PutRequest(key=self._documents + name, value=b"1"))

    def clear(self) -> None:
        self._kv.DeleteRange(pb.DeleteRangeRequest(key=self._documents, range_end=self._documents[:-1] + b"0"))

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def both(etcd: EtcdServer) -> Iterator[tuple[Gateway, Etcd]]:
    prefix = f"/foreign-{next(_numbers)}"
    with ExitStack() as stack:
        outside = Etcd(etcd, prefix)
        stack.callback(outside.close)
        yield start_gateway(stack, etcd, prefix), outside


@pytest.fixture
def gateway(both: tuple[Gateway, Etcd]) -> Gateway:
    return both[0]


@pytest.fixture
def outside(both: tuple[Gateway, Etcd]) -> Etcd:
    both[1].clear()
    return both[1]


def walk(gateway: Gateway, limit: int, prefix: str = "") -> list[str]:
    """All keys, page by page. Raises AssertionError when a page can't be had, or when there is no end of them."""
    found: list[str] = []
    query = f"limit={limit}&prefix={quote(prefix)}"
    after = ""
    for _ in range(500):
        answer = gateway.ask("GET", f"/config/?{query}{after}")
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        found += [each["key"] for each in page["keys"]]
        assert page["more"] == (page["next"] is not None)
        if not page["more"]:
            return found
        after = f"&after={quote(page['next'], safe='')}"
    raise AssertionError("a walk that does not end")


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_a_walk_finds_what_paths_can_name_and_ends(gateway: Gateway, outside: Etcd, limit: int) -> None:
    for name in (*UNADDRESSABLE, *GOOD):
        outside.put(name)
    assert walk(gateway, limit) == [name.decode() for name in sorted(GOOD)]
    assert walk(gateway, limit, "a/") == ["a/b"]
    for key in walk(gateway, limit):
        assert gateway.ask("GET", f"/config/{quote(key)}").status_code == 200


def test_what_is_left_out_is_counted(gateway: Gateway, outside: Etcd) -> None:
    """docs/metrics.md says what to do about it."""

    def counted() -> float:
        text = gateway.ask("GET", "/metrics").text
        return float(text.partition("\nconfig_listing_keys_left_out_total ")[2].partition("\n")[0])

    before = counted()
    for name in (b"a//b", b"\xff", b"good"):
        outside.put(name)
    assert walk(gateway, 100) == ["good"]
    assert counted() == before + 2


def test_keys_too_long_for_one_answer_are_walked_past(gateway: Gateway, outside: Etcd) -> None:
    """etcd takes keys of more than a megabyte; twenty of them don't fit into the largest answer."""
    for number in range(20):
        outside.put(b"long-%02d-" % number + b"x" * 1_000_000)
    outside.put(b"z")
    assert walk(gateway, 1000) == ["z"]


@given(
    st.lists(
        st.binary(max_size=12) | st.text(max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
        max_size=12,
        unique=True,
    ),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_bytes_are_keys_in_etcd_a_walk_finds_those_that_paths_can_name(
    both: tuple[Gateway, Etcd], names: list[bytes], limit: int
) -> None:
    gateway, outside = both
    outside.clear()
    for name in names:
        outside.put(name)
    good = [name for name in sorted(names) if is_addressable(name.decode("utf-8", "surrogateescape"))]
    assert walk(gateway, limit) == [name.decode() for name in good]


@pytest.mark.parametrize("after", ["/", "/0", "/zz", "/6", "//", "/" + "61" * 514, "/61/62", "/AB"])
def test_a_place_that_no_page_named_is_refused(gateway: Gateway, after: str) -> None:
    assert gateway.ask("GET", f"/config/?after={quote(after, safe='')}").status_code == 400


def test_a_rollback_names_them_and_takes_them_back(gateway: Gateway, outside: Etcd) -> None:
    """Not UTF-8: the answer has the byte as an escaped surrogate."""
    good = put(gateway, "t/a", b"1")
    outside.put(b"t/a\xffb")
    planned = roll(gateway, "t/", good, dry_run=True)
    assert planned.status_code == 200
    assert [each["key"] for each in json.loads(planned.data)["deletes"]] == ["t/a\udcffb"]
    assert roll(gateway, "t/", good).status_code == 200
    assert json.loads(roll(gateway, "t/", good, dry_run=True).data)["deletes"] == []
