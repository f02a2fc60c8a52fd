"""`POST /config/` on a real etcd: all operations or none, at one revision, in one version event (rule 1)."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from service.json_text import MAX_DEPTH
from tests.http.conftest import Gateway, StartGateway
from tests.support.etcd import EtcdServer

VALUES = [
    b"1",
    b"null",
    b'""',
    b'{ "a" :\t[1,2 ]\n}',
    b"1E400",
    b"-0.0e-0",
    b'{"a":1,"A":2}',
    rb'"\ud800"',
    rb'{"\udc00": "\ud83d\ude00"}',
    '"日本 🎉"'.encode(),
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
]


def put(key: str, value: bytes = b"1", **condition: str) -> bytes:
    """A put as it is written in a batch."""
    rest = json.dumps({"op": "put", "key": key, **condition}).encode()
    return rest[:-1] + b', "value":  ' + value + b" }"


def delete(key: str, **condition: str) -> bytes:
    """A delete as it is written in a batch."""
    return json.dumps({"op": "delete", "key": key, **condition}).encode()


def post(gateway: Gateway, *operations: bytes, query: str = "") -> TestResponse:
    """One batch."""
    return gateway.ask("POST", f"/config/{query}", b'{"operations": [' + b", ".join(operations) + b"]}")


def problem(answer: TestResponse) -> dict[str, Any]:
    """What a problem document says."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Set-Cookie" not in answer.headers
    found: dict[str, Any] = answer.get_json(force=True)
    return found


def version(etcd: EtcdServer, gateway: Gateway) -> int:
    """How many version events there have been, as etcd counts them."""
    (pair,) = json.loads(etcd.etcdctl("get", f"{gateway.prefix}/version", "--write-out=json"))["kvs"]
    return int(pair["version"])


def stored(gateway: Gateway, key: str) -> bytes | None:
    """The document in etcd, if there is one."""
    answer = gateway.ask("GET", f"/config/{key}?use_cache=false")
    return answer.data if answer.status_code == 200 else None


def test_a_batch_writes_all_of_it_at_one_revision(etcd: EtcdServer, gateway: Gateway) -> None:
    """And the answer tells what there was before, in the order of the operations; one version event names them all."""
    gateway.ask("PUT", "/config/old", b"1")
    gateway.ask("PUT", "/config/gone", b"1")
    before = version(etcd, gateway)
    answer = post(gateway, put("new"), put("old", b"2"), delete("gone"), delete("never"))
    assert version(etcd, gateway) == before + 1
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    revision = int(answer.headers["X-Config-Revision"])
    assert answer.get_json() == {
        "revision": revision,
        "results": [
            {"key": "new", "op": "put", "existed": False},
            {"key": "old", "op": "put", "existed": True},
            {"key": "gone", "op": "delete", "existed": True},
            {"key": "never", "op": "delete", "existed": False},
        ],
    }
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Set-Cookie"].startswith(f"{gateway.session(revision)};")
    assert "X-Fleet-Acks" not in answer.headers
    assert "ETag" not in answer.headers
    for key in ("new", "old"):
        assert gateway.ask("GET", f"/config/{key}").headers["ETag"] == f'"{revision}"'
    assert gateway.ask("GET", "/config/gone").status_code == 404
    record = json.loads(etcd.etcdctl("get", f"{gateway.prefix}/version", "--print-value-only"))
    assert record["keys"] == ["gone", "never", "new", "old"]


def test_values_are_stored_byte_for_byte(gateway: Gateway) -> None:
    """Odd white space, numbers beyond doubles, repeated names, halves of surrogate pairs: nobody re-encodes them."""
    assert post(gateway, *(put(f"v/{n}", value) for n, value in enumerate(VALUES))).status_code == 200
    for n, value in enumerate(VALUES):
        assert stored(gateway, f"v/{n}") == value
        assert gateway.ask("GET", f"/config/v/{n}").data == value


@pytest.mark.parametrize(
    ("operation", "current"),
    [
        (put("a", b"2", if_match="1"), True),
        (put("a", b"2", if_none_match="*"), True),
        (put("absent", b"2", if_match="*"), False),
        (put("absent", b"2", if_match="1"), False),
        (delete("a", if_match="1"), True),
        (delete("absent", if_match="*"), False),
    ],
)
def test_one_precondition_that_fails_undoes_the_batch(
    etcd: EtcdServer, gateway: Gateway, operation: bytes, current: bool
) -> None:
    """412 naming the operation; nothing is written, before it or behind it, and no version event."""
    a = gateway.ask("PUT", "/config/a", b"1").headers["X-Config-Revision"]
    gateway.ask("PUT", "/config/b", b"1")
    before = version(etcd, gateway)
    refused = post(gateway, put("new"), operation, delete("b"))
    assert refused.status_code == 412
    told = problem(refused)
    assert (told["index"], told["key"], told["outcome"]) == (1, json.loads(operation)["key"], "not done")
    assert told["mod_revision"] == (int(a) if current else 0)
    assert "ETag" not in refused.headers
    assert version(etcd, gateway) == before
    assert [stored(gateway, key) for key in ("new", "a", "b", "absent")] == [None, b"1", b"1", None]


def test_preconditions_that_hold_let_the_batch_through(gateway: Gateway) -> None:
    """All four kinds, each on its own key."""
    revisions = [gateway.ask("PUT", f"/config/{key}", b"1").headers["X-Config-Revision"] for key in "abcd"]
    answer = post(
        gateway,
        put("a", b"2", if_match=revisions[0]),
        put("b", b"2", if_match="*"),
        delete("c", if_match=revisions[2]),
        delete("d", if_match="*"),
        put("e", b"2", if_none_match="*"),
    )
    assert answer.status_code == 200
    assert [stored(gateway, key) for key in "abcde"] == [b"2", b"2", None, None, b"2"]


def test_a_hundred_operations_fit(etcd: EtcdServer, gateway: Gateway) -> None:
    """Hazard: etcd allows 128 operations in a transaction, and the preconditions and the version are there as well."""
    keys = [f"many/{n}" for n in range(100)]
    gateway.ask("PUT", "/config/a", b"1")
    before = version(etcd, gateway)
    written = post(gateway, *(put(key, if_none_match="*") for key in keys))
    assert written.status_code == 200
    revision = str(written.get_json()["revision"])
    assert post(gateway, *(put(key, b"2", if_match=revision) for key in keys)).status_code == 200
    refused = post(gateway, *(delete(key, if_match=revision) for key in keys))
    assert (refused.status_code, problem(refused)["index"]) == (412, 0)
    assert post(gateway, *(delete(key, if_match="*") for key in keys)).status_code == 200
    assert version(etcd, gateway) == before + 3
    assert post(gateway, *map(put, keys), put("one/more")).status_code == 400


def test_the_largest_batch_fits_into_etcd_or_is_413(gateways: StartGateway) -> None:
    """Hazard: 1.5 MiB a request, names of keys included. Too large is told, with nothing done."""
    gateway = gateways(max_value_bytes=1_500_000)
    large = b'"' + b"x" * 14_000 + b'"'
    keys = [f"{n:02}/" + "k" * 500 for n in range(100)]
    answer = post(gateway, *(put(key, large) for key in keys))
    assert answer.status_code in (200, 413)
    assert stored(gateway, keys[0]) == (large if answer.status_code == 200 else None)
    small = b'"' + b"x" * 4_000 + b'"'
    assert post(gateway, *(put(key, small) for key in keys)).status_code == 200


def test_every_other_instance_forgets_all_keys_of_a_batch(gateways: StartGateway) -> None:
    """Rule 2: one event, and each of the entries it names is stale; the cookie makes them seen at once (rule 10)."""
    one, other = gateways(), gateways()
    for count in range(30):
        cookie = post(one, put("a", b"%d" % count), put("b", b"%d" % count)).headers["Set-Cookie"].partition(";")[0]
        assert [other.ask("GET", f"/config/{key}", Cookie=cookie).data for key in "ab"] == [b"%d" % count] * 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b'{"operations": []}', 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": NaN}]}', 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": "\xff"}]}', 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": 1}', 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": 1}]} {}', 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": ' + b"[" * 129 + b"]" * 129 + b"}]}", 400),
        (b'{"operations": [{"op": "put", "key": "a", "value": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]}", 400),
        (None, 411),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else None,
)
def test_what_is_no_batch_changes_nothing(shared: Gateway, request_: bytes | None, status: int) -> None:
    """The rules for documents hold for the body as a whole."""
    shared.ask("DELETE", "/config/a")
    refused = shared.ask("POST", "/config/", request_)
    assert (refused.status_code, problem(refused)["outcome"]) == (status, "not done")
    assert stored(shared, "a") is None


def test_the_body_of_a_batch_is_limited_like_a_document(gateways: StartGateway) -> None:
    """MAX_VALUE_BYTES."""
    gateway = gateways(max_value_bytes=100)
    assert post(gateway, put("a")).status_code == 200
    assert post(gateway, put("a", b'"' + b"x" * 100 + b'"')).status_code == 413


def test_the_conditions_of_a_batch_are_not_headers(shared: Gateway) -> None:
    """If-Match is about what the address names, and that is no document: ignoring it would break a promise."""
    body = b'{"operations": [' + put("conditional") + b"]}"
    for header in ("If_Match", "If_None_Match"):
        assert shared.ask("POST", "/config/", body, **{header: "*"}).status_code == 400
    assert stored(shared, "conditional") is None


def test_a_batch_takes_no_other_parameters(shared: Gateway) -> None:
    """No silent defaults."""
    for query in ("?sync=yes", "?prefix=a", "?atomic=true"):
        assert post(shared, put("parameters"), query=query).status_code == 400
    assert stored(shared, "parameters") is None


def test_the_slash_at_the_end_may_be_left_out(gateway: Gateway) -> None:
    """A redirect would make some clients send a GET."""
    assert gateway.ask("POST", "/config", b'{"operations": [' + put("a") + b"]}").status_code == 200


_numbers = itertools.count()

conditions = st.sampled_from(["none", "exists", "absent", "current", "other"])
operations = st.tuples(st.sampled_from("abcd"), st.none() | st.sampled_from(VALUES), conditions)
batches = st.lists(operations, min_size=1, max_size=4, unique_by=lambda operation: operation[0])


class Model:
    """What a dict makes of batches: key → (revision, value)."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.content: dict[str, tuple[int, bytes]] = {}

    def key(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def words(self, name: str, value: bytes | None, condition: str) -> bytes:
        """One operation as it is written."""
        now = self.content.get(name, (1, b""))[0]  # no key of ours was written at revision 1
        given = {
            "none": {},
            "exists": {"if_match": "*"},
            "absent": {"if_none_match": "*"} if value is not None else {},
            "current": {"if_match": str(now)},
            "other": {"if_match": str(now + 1)},
        }[condition]
        return delete(self.key(name), **given) if value is None else put(self.key(name), value, **given)

    def holds(self, name: str, value: bytes | None, condition: str) -> bool:
        """Whether its precondition does."""
        exists = name in self.content
        absent = not exists or value is None  # a delete has no such condition
        return {"none": True, "exists": exists, "absent": absent, "current": exists, "other": False}[condition]

    def apply(self, batch: list[tuple[str, bytes | None, str]], revision: int) -> None:
        for name, value, _ in batch:
            if value is None:
                self.content.pop(name, None)
            else:
                self.content[name] = (revision, value)


@given(st.lists(batches, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_batches_leave_what_a_dict_would_hold(
    shared: Gateway, history: list[list[tuple[str, bytes | None, str]]]
) -> None:
    """All or nothing, whatever the operations and their conditions; read from etcd, from memory, and as a list."""
    model = Model(f"model-{next(_numbers)}")
    for batch in history:
        existed = [name in model.content for name, _, _ in batch]
        failing = [index for index, operation in enumerate(batch) if not model.holds(*operation)]
        answer = post(shared, *(model.words(*operation) for operation in batch))
        if failing:
            assert (answer.status_code, problem(answer)["index"]) == (412, failing[0])
        else:
            assert answer.status_code == 200
            assert [result["existed"] for result in answer.get_json()["results"]] == existed
            model.apply(batch, answer.get_json()["revision"])
        for name in "abcd":
            expected = model.content.get(name, (0, None))[1]
            assert stored(shared, model.key(name)) == expected
            cached = shared.ask(
                "GET", f"/config/{model.key(name)}?min_revision={answer.headers.get('X-Config-Revision', 0)}"
            )
            assert (cached.data if cached.status_code == 200 else None) == expected
    listed = shared.ask("GET", f"/config/?prefix={model.folder}/").get_json()["keys"]
    assert {entry["key"]: entry["mod_revision"] for entry in listed} == {
        model.key(name): revision for name, (revision, _) in model.content.items()
    }
