"""`POST /rollback`: the way of a prefix back to an earlier revision, planned, done at once, or in named steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from consistency.core.rollbacks import MOST_AT_ONCE
from tests.http.conftest import Gateway, StartGateway, start_gateway
from tests.support.etcd import EtcdServer, wait_for


def roll(
    gateway: Gateway, prefix: str, revision: int, /, headers: dict[str, str] | None = None, **more: Any
) -> TestResponse:
    body = json.dumps({"prefix": prefix, "revision": revision, **more}).encode()
    return gateway.ask("POST", "/rollback", body, **(headers or {}))


def put(gateway: Gateway, key: str, document: bytes) -> int:
    return int(gateway.ask("PUT", f"/config/{key}", document).headers["X-Config-Revision"])


def get(gateway: Gateway, key: str) -> bytes | None:
    answer = gateway.ask("GET", f"/config/{key}?use_cache=false")
    return answer.data if answer.status_code == 200 else None


def told(answer: TestResponse) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.data)
    return document


@pytest.fixture
def changed(gateway: Gateway) -> tuple[Gateway, int]:
    """Beneath `t/` one key has been changed, one deleted, one created, and one not touched, since the revision."""
    put(gateway, "t/changed", b' {"a": 1.0}')
    put(gateway, "t/deleted", b"2")
    put(gateway, "u/other", b"1")
    good = put(gateway, "t/same", b"3")
    put(gateway, "t/changed", b"[]")
    gateway.ask("DELETE", "/config/t/deleted")
    put(gateway, "t/new", b"4")
    put(gateway, "u/other", b"2")
    return gateway, good


def test_a_plan_says_what_would_be_done_and_does_nothing(changed: tuple[Gateway, int]) -> None:
    gateway, good = changed
    answer = roll(gateway, "t/", good, dry_run=True)
    plan = told(answer)
    assert answer.status_code == 200
    assert [
        (each["key"], each["before"] and each["before"]["value"], each["after"]["value"]) for each in plan["puts"]
    ] == [
        ("t/changed", "[]", ' {"a": 1.0}'),
        ("t/deleted", None, "2"),
    ]
    assert [(each["key"], each["before"]["value"]) for each in plan["deletes"]] == [("t/new", "4")]
    assert (plan["unchanged"], plan["unknowable"], plan["writes"]) == (1, [], 1)
    assert (get(gateway, "t/changed"), get(gateway, "t/new")) == (b"[]", b"4")


def test_it_is_done_at_one_revision_and_nothing_else_is(changed: tuple[Gateway, int]) -> None:
    gateway, good = changed
    answer = roll(gateway, "t/", good, headers={"X_Change_Reason": "it was better"})
    done = told(answer)
    assert answer.status_code == 200
    assert done["steps"] == [{"revision": done["revision"], "keys": ["t/changed", "t/deleted", "t/new"]}]
    found = [get(gateway, f"t/{name}") for name in ("changed", "deleted", "new", "same")]
    assert found == [b' {"a": 1.0}', b"2", None, b"3"]
    assert get(gateway, "u/other") == b"2"
    changes = told(gateway.ask("GET", "/history/t/new"))["changes"]
    assert (changes[0]["op"], changes[0]["why"], changes[0]["revision"]) == (
        "delete",
        "it was better",
        done["revision"],
    )
    again = told(roll(gateway, "t/", good))
    assert (again["steps"], again["unchanged"]) == ([], 3)


def test_what_is_changed_meanwhile_makes_all_of_it_fail(
    changed: tuple[Gateway, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. The plan is made; 2. somebody writes one of its keys; 3. nothing of the plan is done."""
    gateway, good = changed
    cache = gateway.cache.asynchronous
    planned = cache.plan

    async def plan_and_be_late(prefix: str, revision: int) -> Any:
        plan = await planned(prefix, revision)
        await cache.put("t/new", b"5")
        return plan

    monkeypatch.setattr(cache, "plan", plan_and_be_late)
    answer = roll(gateway, "t/", good)
    assert (answer.status_code, told(answer)["outcome"]) == (412, "not done")
    assert (get(gateway, "t/changed"), get(gateway, "t/new")) == (b"[]", b"5")


def many(gateway: Gateway, count: int, value: int) -> int:
    revision = 0
    for start in range(0, count, 100):
        operations = [
            {"op": "put", "key": f"m/{number:04}", "value": value} for number in range(start, min(start + 100, count))
        ]
        answer = gateway.ask("POST", "/config/", json.dumps({"operations": operations}).encode())
        revision = int(answer.headers["X-Config-Revision"])
    return revision


def test_more_than_one_write_takes_is_refused_with_the_number_or_done_in_steps(gateway: Gateway) -> None:
    good = many(gateway, 150, 1)
    many(gateway, 150, 2)
    refused = roll(gateway, "m/", good)
    assert (refused.status_code, told(refused)["type"].rpartition(":")[2]) == (409, "rollback-too-large")
    assert "150 keys" in told(refused)["detail"]
    assert get(gateway, "m/0000") == b"2"
    done = told(roll(gateway, "m/", good, in_steps=True))
    assert [len(each["keys"]) for each in done["steps"]] == [MOST_AT_ONCE, 50]
    assert [get(gateway, key) for key in ("m/0000", "m/0149")] == [b"1", b"1"]


def test_it_is_never_halfway_without_saying_it(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    good = many(gateway, 150, 1)
    many(gateway, 150, 2)
    cache = gateway.cache.asynchronous
    applied = cache.apply

    async def be_late(*given: Any, **more: Any) -> Any:
        done = await applied(*given, **more)
        await cache.put("m/0149", b"5")
        return done

    monkeypatch.setattr(cache, "apply", be_late)
    answer = roll(gateway, "m/", good, in_steps=True)
    document = told(answer)
    assert (answer.status_code, document["outcome"], document["cause"]) == (409, "partly done", "precondition-failed")
    assert [len(each["keys"]) for each in document["steps"]] == [MOST_AT_ONCE]
    assert [get(gateway, key) for key in ("m/0000", "m/0100", "m/0149")] == [b"1", b"2", b"5"]


def test_an_integer_may_be_written_with_a_point(gateway: Gateway) -> None:
    """As JSON Schema, and so openapi.yaml, has it."""
    at = gateway.ask("PUT", "/config/a", b"1").headers["X-Config-Revision"]
    body = b'{"prefix": "a", "revision": %s.0, "dry_run": true}' % at.encode()
    answer = gateway.ask("POST", "/rollback", body)
    assert (answer.status_code, answer.get_json()["to"]) == (200, int(at))


@pytest.mark.parametrize(
    "body",
    [b"{}", b"[]", b"1", b'{"prefix": "a"}', b'{"revision": 1}', b'{"prefix": 1, "revision": 1}',
     b'{"prefix": "a", "revision": "1"}', b'{"prefix": "a", "revision": 0}', b'{"prefix": "a", "revision": true}',
     b'{"prefix": "a", "revision": 1, "dry": true}', b'{"prefix": "a//", "revision": 1}', b"{",
     b'{"prefix": "a", "revision": 1, "revision": 2}', b'{"prefix": "a", "revision": 1, "dry_run": 1}',
     b'{"prefix": "a", "revision": 1.5}', b'{"prefix": "a", "revision": 1e999}'],
)  # fmt: skip
def test_a_wrong_order_is_400(gateway: Gateway, body: bytes) -> None:
    assert gateway.ask("POST", "/rollback", body).status_code == 400


def test_a_revision_that_is_not_reached_is_410(gateway: Gateway) -> None:
    assert roll(gateway, "a", 2**40).status_code == 410
    assert gateway.ask("GET", "/rollback").status_code == 405


class TestRights:
    TOKENS = (
        {"name": "team", "token": "t" * 32, "scopes": ["read", "write"], "prefix": "team/"},
        {"name": "all", "token": "a" * 32, "scopes": ["read", "write"]},
        {"name": "writer", "token": "w" * 32, "scopes": ["write"]},
        {"name": "reader", "token": "r" * 32, "scopes": ["read"]},
        {"name": "boss", "token": "b" * 32, "scopes": ["admin"]},
    )

    @pytest.mark.parametrize(
        ("letter", "prefix", "status"),
        [("t", "team/", 200), ("t", "team/app/", 200), ("t", "", 403), ("t", "tea", 403), ("t", "other/", 403),
         ("a", "team/", 200), ("a", "", 403), ("w", "team/", 403), ("r", "team/", 403), ("b", "", 200),
         ("b", "team/", 200), ("x", "team/", 401)],
    )  # fmt: skip
    def test_a_team_rolls_back_its_own_and_admin_all(
        self, gateways: StartGateway, letter: str, prefix: str, status: int
    ) -> None:
        """The plan tells documents, so it needs the right to read them, too."""
        gateway = gateways(tokens=list(self.TOKENS))
        boss = {"Authorization": f"Bearer {'b' * 32}"}
        good = int(gateway.ask("PUT", "/config/team/app/a", b"1", **boss).headers["X-Config-Revision"])
        gateway.ask("PUT", "/config/team/app/a", b"2", **boss)
        asking = {"Authorization": f"Bearer {letter * 32}"}
        for dry_run in (True, False):
            assert roll(gateway, prefix, good, headers=asking, dry_run=dry_run).status_code == status


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_to_a_revision_that_etcd_has_compacted(stack: ExitStack, new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """By what the writes have left; and not at all, if of one key it can't be told what it had (rule 19)."""
    etcd = stack.enter_context(new_etcd(tmp_path))
    gateway = start_gateway(stack, etcd, "/rollback")
    wait_for(lambda: told(gateway.ask("GET", "/history/a"))["exact_from"] is not None)
    put(gateway, "t/changed", b"1")
    put(gateway, "t/deleted", b"2")
    good = put(gateway, "t/same", b"3")
    put(gateway, "t/changed", b"[]")
    gateway.ask("DELETE", "/config/t/deleted")
    put(gateway, "t/new", b"4")
    put(gateway, "t/temporary", b"4")
    last = int(gateway.ask("DELETE", "/config/t/temporary").headers["X-Config-Revision"])
    etcd.etcdctl("compaction", str(last))
    plan = told(roll(gateway, "t/", good, dry_run=True))
    assert [each["key"] for each in plan["puts"]] == ["t/changed", "t/deleted"]
    assert [each["key"] for each in plan["deletes"]] == ["t/new"]
    assert (plan["unchanged"], plan["unknowable"]) == (1, [])
    assert roll(gateway, "t/", good).status_code == 200
    assert [get(gateway, f"t/{name}") for name in ("changed", "deleted", "same", "new")] == [b"1", b"2", b"3", None]
    early = roll(gateway, "t/", 1)
    assert (early.status_code, told(early)["type"].rpartition(":")[2]) == (409, "rollback-unknowable")
    assert told(roll(gateway, "t/", 1, dry_run=True))["unknowable"]
