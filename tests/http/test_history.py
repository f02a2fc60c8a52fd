"""`GET /history/<key>`, and `GET ?revision=` of what etcd has compacted (rule 19)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import Gateway, StartGateway, start_gateway
from tests.support.etcd import EtcdServer, wait_for


def history(gateway: Gateway, key: str, query: str = "", **headers: str) -> dict[str, Any]:
    answer = gateway.ask("GET", f"/history/{key}?{query}", None, **headers)
    assert answer.status_code == 200, answer.data
    document: dict[str, Any] = answer.get_json()
    return document


def test_who_changed_it_when_and_why(gateway: Gateway) -> None:
    began = datetime.now(UTC)
    gateway.ask("PUT", "/config/a/b", b"[1]", X_Change_Reason="M%C3%A4rz", X_Request_Id="mine")
    gateway.ask("PUT", "/config/a/b", b"2")
    gone = gateway.ask("DELETE", "/config/a/b", X_Change_Reason="no use")
    told = history(gateway, "a/b")
    assert (told["key"], told["mod_revision"], told["more"]) == ("a/b", 0, False)
    assert [(each["op"], each.get("why"), each.get("size"), each.get("kept")) for each in told["changes"]] == [
        ("delete", "no use", None, None),
        ("put", None, 1, True),
        ("put", "März", 3, True),
    ]
    assert told["changes"][0]["revision"] == int(gone.headers["X-Config-Revision"])
    assert told["changes"][2]["request"] == "mine"
    assert began.timestamp() - 1 < datetime.fromisoformat(told["changes"][2]["at"]).timestamp()
    assert not any("by" in each for each in told["changes"])


def test_it_is_told_in_pages(gateway: Gateway) -> None:
    for number in range(5):
        gateway.ask("PUT", "/config/a", b"%d" % number)
    whole = history(gateway, "a")["changes"]
    found: list[dict[str, Any]] = []
    query, more = "limit=2", True
    while more:
        page = history(gateway, "a", query)
        found += page["changes"]
        more = page["more"]
        query = f"limit=2&before={found[-1]['revision']}"
    assert found == whole
    assert len(whole) == 5


def test_of_what_never_was_there_is_none(gateway: Gateway) -> None:
    told = history(gateway, "absent")
    assert (told["changes"], told["mod_revision"], told["more"]) == ([], 0, False)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "before=0", "before=x", "after=1", "limit=1&limit=2", "values=true"]
)
def test_a_wrong_question_is_400(gateway: Gateway, query: str) -> None:
    assert gateway.ask("GET", f"/history/a?{query}").status_code == 400


@pytest.mark.parametrize(("path", "status"), [("/history/", 404), ("/history", 404), ("/history/a//b", 400)])
def test_what_is_no_key_has_none(gateway: Gateway, path: str, status: int) -> None:
    assert gateway.ask("GET", path).status_code == status
    assert gateway.ask("PUT", "/history/a", b"1").status_code == 405


def test_a_team_sees_its_own(gateways: StartGateway) -> None:
    """The name of the token is told, never the token."""
    tokens = [
        {"name": "team", "token": "t" * 32, "scopes": ["read", "write"], "prefix": "team/"},
        {"name": "looker", "token": "o" * 32, "scopes": ["observe"]},
    ]
    gateway = gateways(tokens=tokens)
    team, looker = f"Bearer {'t' * 32}", f"Bearer {'o' * 32}"
    gateway.ask("PUT", "/config/team/a", b"1", Authorization=team)
    assert history(gateway, "team/a", Authorization=team)["changes"][0]["by"] == "team"
    assert gateway.ask("GET", "/history/other", Authorization=team).status_code == 403
    assert gateway.ask("GET", "/history/team/a", Authorization=looker).status_code == 403
    assert gateway.ask("GET", "/history/team/a").status_code == 401


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_compacted_revision_is_answered_exactly_or_410(
    stack: ExitStack, new_etcd: type[EtcdServer], tmp_path: Path
) -> None:
    """Of an etcd of its own: a compaction is for everybody."""
    etcd = stack.enter_context(new_etcd(tmp_path))
    gateway = start_gateway(stack, etcd, "/past")
    wait_for(lambda: history(gateway, "a")["exact_from"] is not None)
    steps: list[tuple[str, bytes | None]] = [("PUT", b' {"a" : 1E400}'), ("PUT", b"2"), ("DELETE", None), ("PUT", b"3")]
    revisions = [int(gateway.ask(method, "/config/a", body).headers["X-Config-Revision"]) for method, body in steps]
    gateway.ask("PUT", "/config/other", b"1")
    etcd.etcdctl("compaction", gateway.ask("GET", "/config/").headers["X-Config-Revision"])
    for revision, (_, body) in zip(revisions, steps, strict=True):
        answer = gateway.ask("GET", f"/config/a?revision={revision}")
        assert answer.status_code == (200 if body else 404)
        if body:
            assert (answer.data, answer.headers["ETag"]) == (body, f'"{revision}"')
    assert gateway.ask("GET", f"/config/a?revision={revisions[0] - 1}").status_code == 404
    early = gateway.ask("GET", "/config/a?revision=1")
    assert (early.status_code, early.get_json(force=True)["type"].rpartition(":")[2]) == (410, "compacted")
