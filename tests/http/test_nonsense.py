"""Members and peers that say nonsense, in their keys and in their answers: shown as such, and in nobody's way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.core.model import Member, VersionRecord
from consistency.etcd.store import EtcdStore
from service.fleet.addresses import is_address
from service.fleet.foreign import read_object
from service.fleet.members import describe
from service.fleet.peers import Heard
from service.fleet.state_shape import FIELDS, state_in
from service.fleet.states import theirs
from tests.http.conftest import Gateway, start_gateway
from tests.http.test_proofs import answer, listener
from tests.support.driver import run_beside
from tests.support.etcd import EtcdServer, wait_for

PREFIX = "/nonsense"
DEEP = "[" * 400 + "]" * 400
DESCRIPTIONS = [
    "", "{", "null", "[]", '"x"', "\udcff\udcfe", '{"address": "\\ud800:80"}', DEEP, "[" * 4000,
    f'{{"address": {DEEP}}}',
    '{"address": 1e999}', '{"pid": NaN, "address": "127.0.0.1:1"}', '{"pid": 1e999, "address": "127.0.0.1:1"}',
    '{"pid": ' + "9" * 5000 + "}", '{"pid": ' + "9" * 4000 + ', "address": "127.0.0.1:1"}',
    '{"address": "x:99999999999"}',
    '{"address": "' + "l" * 64 + '.example:80"}', '{"address": "127.0.0.1:' + "9" * 4000 + '"}',
    '{"address": "a b:80"}',
    '{"address": "\\u0000:80"}', '{"address": "x\\r\\nEvil: 1:80"}', '{"address": ["127.0.0.1:1"]}', '{"address": {}}',
    '{"address": "127.0.0.1:1", "guid": "\\udfff", "started": [], "version": {"a": 1}}',
    '{"address": "127.0.0.1:1", "guid": 7, "started": 1e400, "version": null}', '{"address": "::1:80"}',
    '{"address": ":80"}',
]  # fmt: skip


@contextmanager
def members(etcd: EtcdServer, prefix: str) -> Iterator[Callable[[int, str], None]]:
    """Puts member keys that say whatever the test wants, by slot and description, while it lasts."""
    store = EtcdStore(etcd.config(prefix))
    lease = run_beside(store.grant(120, timeout=5)).id

    def put(slot: int, description: str) -> None:
        assert run_beside(store.claim(slot, lease, description, timeout=5))

    try:
        yield put
    finally:
        run_beside(store.revoke(lease, timeout=5))
        run_beside(store.close())


@pytest.fixture(scope="module")
def gateway(etcd: EtcdServer) -> Iterator[Gateway]:
    """An instance in a fleet of members that nobody would want."""
    with ExitStack() as stack:
        member = stack.enter_context(members(etcd, PREFIX))
        for slot, description in enumerate(DESCRIPTIONS, start=1):
            member(slot, description)
        yield start_gateway(stack, etcd, PREFIX)


@pytest.mark.parametrize("path", ["/members", "/members/states", "/members/targets", "/members/config/a", "/metrics"])
def test_members_that_say_nonsense_break_no_answer(gateway: Gateway, path: str) -> None:
    """Each answer is held against openapi.yaml by the client."""
    wait_for(lambda: len(gateway.cache.status().members) == len(DESCRIPTIONS) + 1, what="all members")
    response = gateway.ask("GET", path)
    assert response.status_code == 200
    if path != "/metrics":
        json.loads(response.data, parse_constant=pytest.fail)
        response.data.decode()
    if path == "/members/states":
        rows = response.get_json()["members"]
        assert len(rows) == len(DESCRIPTIONS) + 1
        said = {row["why_not"] for row in rows if row["slot"] != gateway.cache.status().slot}
        assert said <= {"it does not say where it can be reached", "nobody listens at its address"}


OWN = {"slot": 3, "ready": True, "why_not": "", "draining": False, "fresh": True, "proof_age": 0.1, "bound": 1.0,
       "horizon": 7, "watch_up": True, "lease_age": None, "entries": 1, "bytes": 9, "requests": 2, "errors": 0,
       "reads": {"hit": 1, "miss": 1, "revalidated": 0, "bypass": 0, "stale": 0}}  # fmt: skip
NONSENSE = [None, "x", [], {}, -1, True, [1], {"hit": "x"}, [[1, 2]], 10**30]


def row(body: bytes, status: int = 200) -> tuple[object, object]:
    said = theirs(Heard(Member(3, 1, 1, "{}"), status, (), body))
    return said["state"], said["why_not"]


def test_each_instance_understands_what_it_says_of_itself(gateway: Gateway) -> None:
    for path in ("/members/me", "/members/me?recent=true"):
        said = gateway.ask("GET", path).get_json()
        assert state_in(said) == said
        assert said["loop_lag"] >= 0
    assert state_in(OWN) == OWN
    assert row(json.dumps(OWN | {"new": 1}).encode()) == (OWN, "")


def test_a_state_is_one_without_what_earlier_releases_do_not_tell() -> None:
    """Else a page would call half of the fleet unintelligible while a release is rolled out. Nonsense is left out."""
    assert state_in(OWN | {"loop_lag": 0.02}) == OWN | {"loop_lag": 0.02}
    nonsense: tuple[object, ...] = (None, "x", -1, True, {})
    for each in nonsense:
        assert state_in(OWN | {"loop_lag": each}) == OWN


@pytest.mark.parametrize("name", FIELDS)
def test_a_state_with_a_field_of_another_kind_is_none(name: str) -> None:
    """The page would fail on it. What is right for the field by chance is let through."""
    wrong = [OWN | {name: found} for found in NONSENSE if not FIELDS[name](found)]
    assert len(wrong) >= len(NONSENSE) - 4
    for each in (*wrong, {key: value for key, value in OWN.items() if key != name}):
        assert row(json.dumps(each).encode()) == (None, "its answer is none that this release understands")


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"[" * 60_000, b'{"slot": NaN}', b'{"slot": ' + b"9" * 5000 + b"}", b'{"why_not": "\\ud800"}',
     json.dumps(OWN).replace("0.1", "1e999").encode(), json.dumps(OWN)[:-1].encode()],
)  # fmt: skip
def test_an_answer_that_is_no_state_is_shown_as_such(body: bytes) -> None:
    assert row(body) == (None, "its answer is none that this release understands")


HEADERS = ("ETag: " + "9" * 5000, "Age: " + "9" * 5000, "X-Config-Revision: " + "9" * 4000)


@pytest.mark.parametrize("path", ["/members/states", "/members/config/a"])
@pytest.mark.parametrize(
    "reply", [answer(b"\xff\xfe", "200 OK", *HEADERS), b"HTTP/1.1 999999 x\r\n\r\n", b"\xff" * 100_000,
              b"x\r\n" * 999, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
              answer(b"{}", "999 \xe9"), b""]
)  # fmt: skip
def test_a_peer_that_answers_nonsense_breaks_no_answer(etcd: EtcdServer, reply: bytes, path: str) -> None:
    prefix = f"{PREFIX}-peer"
    with ExitStack() as stack:
        port, _ = stack.enter_context(listener(lambda _: reply))
        member = stack.enter_context(members(etcd, prefix))
        member(9, json.dumps({"address": f"127.0.0.1:{port}"}))
        gateway = start_gateway(stack, etcd, prefix)
        wait_for(lambda: len(gateway.cache.status().members) == 2, what="both members")
        response = gateway.ask("GET", path)
        assert response.status_code == 200
        json.loads(response.data, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "value",
    [b"[" * 100_000, b"{", b"\xff", b'{"nonce": "n", "keys": ["\\ud800"], "op": "put"}',
     b'{"nonce": "n", "keys": "team"}',
     b'{"nonce": {}, "keys": []}', b'{"nonce": ' + b"9" * 5000 + b', "keys": null}', b'{"nonce": "n", "keys": [[]]}'],
)  # fmt: skip
def test_a_version_that_somebody_has_put_by_hand_means_that_all_may_have_changed(value: bytes) -> None:
    """Whatever it is: each read asks for it, and the audit asks for the keys that it names."""
    record = VersionRecord.decode(value)
    assert (record.names, record.op) == (None, "unreadable")


@given(st.text() | st.from_regex(r"\A[a-z.:\[\]0-9-]{0,80}:[0-9]{0,6}\Z"))
def test_what_is_taken_for_an_address_can_be_asked_at(text: str) -> None:
    if is_address(text):
        host, _, port = text.rpartition(":")
        host.encode("idna") if "[" not in host else None
        assert 0 < int(port) < 2**16


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "localhost:1", "a-b.c_d.example:65535", "[::1]:80", "host.:80"])
def test_addresses_of_instances_are_addresses(text: str) -> None:
    assert is_address(text)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_what_is_read_can_be_written(value: object) -> None:
    found = read_object(json.dumps({"a": value}))
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    assert describe(Member(1, 1, 1, json.dumps({"a": value}))) == (found or {})
