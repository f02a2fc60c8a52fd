"""Who, when, why: `X-Change-Reason` is read strictly, and told to those who follow, with the name of the token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.http.problems import Refused
from service.http.requests import author_of, reason_in
from tests.http.conftest import Gateway, StartGateway
from tests.http.test_changes import changes, put
from tests.support.etcd import wait_for


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("twice the load", "twice the load"), ("80 %25", "80 %"), ("M%C3%A4rz", "März"),
        ("a, b; c=\"d\"", 'a, b; c="d"'),
        ("a" * 500, "a" * 500), ("%F0%9F%8E%89" * 500, "\N{PARTY POPPER}" * 500), (" a\t", "a"),
    ],
)  # fmt: skip
def test_a_reason_is_percent_encoded_utf_8(sent: str, reason: str) -> None:
    assert reason_in({"HTTP_X_CHANGE_REASON": sent}) == reason


@pytest.mark.parametrize(
    "sent",
    ["", " ", "é", "80 %", "%zz", "%ff", "%ed%a0%80", "a%00", "a%0ab", "%1b[31m", "%e2%80%a8", "%7f",
     "a" * 501, "\x00", "a\tb"],
)  # fmt: skip
def test_what_can_not_be_read_is_refused_and_never_taken_for_absent(sent: str) -> None:
    """Some servers show a header as empty that is not ASCII."""
    with pytest.raises(Refused):
        reason_in({"HTTP_X_CHANGE_REASON": sent})


def test_a_reason_that_can_not_be_read_writes_nothing(gateway: Gateway) -> None:
    batch = b'{"operations": [{"op": "put", "key": "a", "value": 1}]}'
    for method, path, body in (("PUT", "/config/a", b"1"), ("POST", "/config/", batch), ("DELETE", "/config/a", None)):
        answer = gateway.ask(method, path, body, X_Change_Reason="80 %")
        assert (answer.status_code, json.loads(answer.data)["outcome"]) == (400, "not done")
    assert gateway.ask("GET", "/config/a?use_cache=false").status_code == 404


def test_no_reason_is_no_reason() -> None:
    assert reason_in({}) == ""
    author = author_of({"HTTP_X_REQUEST_ID": "mine"})
    assert (author.by, author.request, author.why) == ("", "mine", "")


def told(gateway: Gateway, query: str) -> list[tuple[Any, ...]]:
    return [(each["key"], each["op"], each.get("by"), each.get("why")) for each in changes(gateway, query)["changes"]]


def test_who_follows_is_told_who_did_it_and_why(gateway: Gateway) -> None:
    put(gateway, "a", b"1")
    put(gateway, "b", b"1")
    before = changes(gateway)["to"]
    assert {each[2:] for each in told(gateway, "")} == {(None, None)}  # of a reset nobody knows
    gateway.ask("PUT", "/config/a", b"2", X_Change_Reason="M%C3%A4rz")
    gone = gateway.ask("DELETE", "/config/b", X_Change_Reason="no use")
    wait_for(lambda: gateway.cache.status().horizon >= int(gone.headers["X-Config-Revision"]))
    for values in ("true", "false"):
        assert told(gateway, f"after={before}&values={values}") == [
            ("a", "put", None, "März"),
            ("b", "delete", None, "no use"),
        ]
    answer = gateway.ask("PUT", "/config/a", b"3")
    wait_for(lambda: gateway.cache.status().horizon >= int(answer.headers["X-Config-Revision"]))
    assert told(gateway, f"after={before}&key=a") == [("a", "put", None, None)]  # of the last change, and of no other


def test_who_it_was_is_told_by_the_name_of_the_token(gateways: StartGateway) -> None:
    """Never by the token; and each of those whose puts share a transaction by his own."""
    secrets = {"team-a": "a" * 32, "team-b": "b" * 32}
    tokens = [{"name": name, "token": token, "scopes": ["read", "write"]} for name, token in secrets.items()]
    gateway = gateways(tokens=tokens)
    bearing = {name: f"Bearer {token}" for name, token in secrets.items()}
    before = changes(gateway, Authorization=bearing["team-a"])["to"]
    for name in secrets:
        answer = gateway.ask("PUT", f"/config/{name}", b"1", Authorization=bearing[name], X_Change_Reason=f"of {name}")
    wait_for(lambda: gateway.cache.status().horizon >= int(answer.headers["X-Config-Revision"]))
    told = gateway.ask("GET", f"/changes?after={before}", Authorization=bearing["team-a"]).data
    assert [(each["key"], each["by"], each["why"]) for each in json.loads(told)["changes"]] == [
        ("team-a", "team-a", "of team-a"),
        ("team-b", "team-b", "of team-b"),
    ]
    assert not any(secret.encode() in told for secret in secrets.values())
