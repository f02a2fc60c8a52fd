"""`/policy`, and the writes that it refuses, on a real etcd: what is asked for, told, and not written."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.http.conftest import Gateway, StartGateway
from tests.policy.test_schemas import ENDLESS, NO_WORDS, WORDS
from tests.support.etcd import EtcdServer, wait_for

LIMITS = {"type": "object", "properties": {"limit": {"type": "integer", "maximum": 100}}, "required": ["limit"]}
POLICY = {"schemas": [{"prefix": "team/", "schema": LIMITS}, {"prefix": "team/open/", "schema": True}]}
NEW = {"If_None_Match": "*"}


def text(policy: object) -> bytes:
    return policy if isinstance(policy, bytes) else json.dumps(policy).encode()


def put(gateway: Gateway, policy: object, query: str = "", **headers: str) -> TestResponse:
    return gateway.ask("PUT", f"/policy{query}", text(policy), **headers)


def in_force(gateway: Gateway, policy: object) -> Gateway:
    """Puts a policy, whatever it replaces."""
    found = gateway.ask("GET", "/policy")
    condition = {"If_Match": found.headers["ETag"]} if found.status_code == 200 else NEW
    answer = put(gateway, policy, **condition)
    assert answer.status_code in (200, 201), answer.text
    return gateway


def problem(answer: TestResponse, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.get_json(force=True)
    assert found["type"] == f"urn:problem-type:config-service:{slug}"
    return found


def pointers(found: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in found["errors"]]


def test_there_is_none_at_first(gateway: Gateway) -> None:
    problem(gateway.ask("GET", "/policy"), 404, "no-policy")


def test_what_was_put_is_in_force_byte_for_byte(gateway: Gateway) -> None:
    written = b'{ "guarded":\t[ ] }'
    answer = put(gateway, written, **NEW)
    assert (answer.status_code, answer.data) == (201, written)
    found = gateway.ask("GET", "/policy")
    assert (found.status_code, found.data, found.headers["ETag"]) == (200, written, answer.headers["ETag"])
    assert gateway.ask("GET", "/policy", If_None_Match=answer.headers["ETag"]).status_code == 304
    assert put(gateway, {}, If_Match=answer.headers["ETag"]).status_code == 200


def test_only_what_was_read_is_replaced(gateway: Gateway) -> None:
    problem(put(gateway, {}), 428, "condition-required")
    problem(put(gateway, {}, If_Match='"7"'), 412, "precondition-failed")
    problem(put(gateway, {}, If_Match="*"), 412, "precondition-failed")
    first = put(gateway, {}, **NEW).headers["ETag"]
    problem(put(gateway, POLICY, **NEW), 412, "precondition-failed")
    second = put(gateway, POLICY, If_Match=first).headers["ETag"]
    refused = put(gateway, {}, If_Match=first)
    assert refused.headers["ETag"] == second
    problem(refused, 412, "precondition-failed")
    assert put(gateway, {}, If_Match=f"{first}, {second}").status_code == 200
    assert put(gateway, {}, If_Match="*").status_code == 200


def test_who_puts_a_policy_is_in_the_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """As who writes a document is; who reads one is not."""
    with caplog.at_level("INFO", "config.requests"):
        assert put(gateway, {}, X_Change_Reason="limits%20for%20all", X_Request_Id="r-1", **NEW).status_code == 201
        assert gateway.ask("GET", "/policy").status_code == 200
    (line,) = [record.msg for record in caplog.records if record.name == "config.requests"]
    assert isinstance(line, dict)
    told = {name: line[name] for name in ("event", "method", "path", "outcome", "why", "request_id")}
    assert told == {
        "event": "write",
        "method": "PUT",
        "path": "/policy",
        "outcome": "done",
        "why": "limits for all",
        "request_id": "r-1",
    }


def test_its_version_says_who_put_it_and_why(gateway: Gateway, etcd: EtcdServer) -> None:
    answer = put(gateway, {}, X_Change_Reason="limits%20for%20all", X_Request_Id="r-1", **NEW)
    at = answer.headers["X-Config-Revision"]
    told = json.loads(etcd.etcdctl("get", f"{gateway.prefix}/version", f"--rev={at}", "--print-value-only"))
    assert (told["policy"], told["authors"]) == (True, [{"request": "r-1", "why": "limits for all"}])


def test_what_is_wrong_with_a_policy_is_told_with_its_places_and_nothing_is_put(gateway: Gateway) -> None:
    schemas = [{"prefix": "a", "schema": {"items": {"type": "strnig"}, "maximun": 1}}]
    found = problem(put(gateway, {"schemas": schemas}, **NEW), 422, "invalid-policy")
    assert pointers(found) == ["/schemas/0/schema/items/type", "/schemas/0/schema/maximun"]
    found = problem(put(gateway, {"guarded": ["a//b"], "gaurded": []}, **NEW), 422, "invalid-policy")
    assert pointers(found) == ["/gaurded", "/guarded/0"]
    assert found["outcome"] == "not done"
    problem(put(gateway, b"{", **NEW), 400, "invalid-json")
    problem(put(gateway, b'{"guarded": ["%s"]}' % (b"a" * 2**18), **NEW), 413, "too-large")
    problem(gateway.ask("GET", "/policy"), 404, "no-policy")


@pytest.mark.parametrize(
    "query", ["?x=1", "?dry_run=yes", "?limit=5", "?dry_run=false&after=a", "?dry_run=true&limit=0"]
)
def test_unknown_parameters_are_refused(gateway: Gateway, query: str) -> None:
    problem(put(gateway, {}, query, **NEW), 400, "invalid-parameter")
    problem(gateway.ask("GET", "/policy?dry_run=true"), 400, "invalid-parameter")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_no_other_method_is_known(gateway: Gateway, method: str) -> None:
    assert gateway.ask(method, "/policy", b"{}").status_code == 405


@pytest.mark.parametrize(("method", "path"), [("PUT", "/config/team/a"), ("POST", "/config/team/a")])
def test_a_document_that_breaks_its_schema_is_not_written(gateway: Gateway, method: str, path: str) -> None:
    in_force(gateway, POLICY)
    found = problem(gateway.ask(method, path, b'{"limit": 1000}'), 422, "policy-violation")
    assert found["errors"] == [{"key": "team/a", "pointer": "/limit", "expected": "maximum: 100", "prefix": "team/"}]
    assert (
        "'team/a' breaks the schema for keys that start with 'team/' at /limit: expected maximum: 100"
        in found["detail"]
    )
    assert gateway.ask("GET", path).status_code == 404
    assert gateway.ask(method, path, b'{"limit": 100}').status_code == 201


def test_nothing_of_a_batch_is_written_if_one_document_breaks_its_schema(gateway: Gateway) -> None:
    in_force(gateway, POLICY)
    operations = [
        {"op": "put", "key": "other", "value": 1},
        {"op": "put", "key": "team/a", "value": {"limit": "10"}},
        {"op": "put", "key": "team/open/a", "value": 1},
        {"op": "put", "key": "team/b", "value": {}},
        {"op": "delete", "key": "team/c"},
    ]
    found = problem(gateway.ask("POST", "/config/", text({"operations": operations})), 422, "policy-violation")
    assert [(error["index"], error["key"], error["pointer"]) for error in found["errors"]] == [
        (1, "team/a", "/limit"),
        (3, "team/b", ""),
    ]
    assert gateway.ask("GET", "/config/").get_json()["keys"] == []


def test_the_longest_prefix_counts(gateway: Gateway) -> None:
    in_force(gateway, POLICY)
    assert gateway.ask("PUT", "/config/team/open/a", b"1").status_code == 201
    assert gateway.ask("PUT", "/config/team", b"1").status_code == 201
    problem(gateway.ask("PUT", "/config/team/op", b"1"), 422, "policy-violation")


def test_what_was_stored_before_stays_readable_and_can_be_deleted(gateway: Gateway) -> None:
    assert gateway.ask("PUT", "/config/team/a", b'"before"').status_code == 201
    in_force(gateway, POLICY)
    assert gateway.ask("GET", "/config/team/a").data == b'"before"'
    assert gateway.ask("GET", "/config/team/a?use_cache=false").data == b'"before"'
    problem(gateway.ask("PUT", "/config/team/a", b'"before"'), 422, "policy-violation")
    assert gateway.ask("DELETE", "/config/team/a").status_code == 204


def test_another_instance_goes_by_a_policy_at_once(gateways: StartGateway) -> None:
    """It may not have heard of it: its transaction finds out (rule 15)."""
    first, second = gateways(), gateways()
    assert second.ask("PUT", "/config/team/a", b"1").status_code == 201
    in_force(first, POLICY)
    problem(second.ask("PUT", "/config/team/a", b"2"), 422, "policy-violation")
    in_force(first, {})
    assert second.ask("PUT", "/config/team/a", b"2").status_code == 200


def test_a_reason_is_asked_for_where_the_policy_says_so(gateway: Gateway) -> None:
    in_force(gateway, {"reason_required": ["prod/"]})
    found = problem(gateway.ask("PUT", "/config/prod/a", b"1"), 428, "reason-required")
    assert (found["key"], found["outcome"]) == ("prod/a", "not done")
    assert gateway.ask("PUT", "/config/prod/a", b"1", X_Change_Reason="since").status_code == 201
    problem(gateway.ask("DELETE", "/config/prod/a"), 428, "reason-required")
    batch = text({"operations": [{"op": "put", "key": "a", "value": 1}, {"op": "delete", "key": "prod/a"}]})
    problem(gateway.ask("POST", "/config/", batch), 428, "reason-required")
    assert gateway.ask("POST", "/config/", batch, X_Change_Reason="since").status_code == 200
    assert gateway.ask("PUT", "/config/test/a", b"1").status_code == 201


def test_a_rollback_is_held_against_the_policy_too(gateway: Gateway) -> None:
    """What was right once, and is not any more, does not come back."""
    old = gateway.ask("PUT", "/config/team/a", b'{"limit": 1000}').headers["X-Config-Revision"]
    assert gateway.ask("PUT", "/config/team/a", b'{"limit": 1}').status_code == 200
    in_force(gateway, POLICY)
    asked = text({"prefix": "team/", "revision": int(old)})
    found = problem(gateway.ask("POST", "/rollback", asked), 422, "policy-violation")
    assert [(error["key"], error["pointer"]) for error in found["errors"]] == [("team/a", "/limit")]
    assert gateway.ask("GET", "/config/team/a").get_json() == {"limit": 1}


def test_a_schema_that_takes_too_long_with_anything_is_no_schema(gateway: Gateway) -> None:
    policy = b'{"schemas": [{"prefix": "", "schema": %s}]}' % ENDLESS
    found = problem(put(gateway, policy, **NEW), 422, "invalid-policy")
    assert pointers(found) == ["/schemas/0/schema"]
    assert "it takes more than 0.5 s of processor time" in found["detail"]


def test_a_schema_that_takes_too_long_with_what_is_stored_is_refused(gateway: Gateway) -> None:
    assert gateway.ask("PUT", "/config/words", NO_WORDS).status_code == 201
    policy = b'{"schemas": [{"prefix": "w", "schema": %s}]}' % WORDS.text
    found = problem(put(gateway, policy, **NEW), 422, "invalid-policy")
    assert pointers(found) == ["/schemas/0/schema"]
    assert "'words'" in found["detail"]


def test_a_document_that_takes_too_long_to_check_is_refused(gateway: Gateway) -> None:
    in_force(gateway, b'{"schemas": [{"prefix": "w", "schema": %s}]}' % WORDS.text)
    found = problem(gateway.ask("PUT", "/config/words", NO_WORDS), 422, "policy-violation")
    assert "it takes more than" in found["detail"]
    assert gateway.ask("GET", "/config/words").status_code == 404
    assert gateway.ask("PUT", "/config/words", b"[]").status_code == 201


def test_a_dry_run_says_what_would_be_refused_and_changes_nothing(gateway: Gateway) -> None:
    for number in range(5):
        assert gateway.ask("PUT", f"/config/team/{number}", b'{"limit": %d}' % (98 + number)).status_code == 201
    assert gateway.ask("PUT", "/config/team/open/a", b"1").status_code == 201
    answer = put(gateway, POLICY, "?dry_run=true")
    assert answer.status_code == 200, answer.text
    found = answer.get_json()
    assert (found["checked"], found["more"], found["next"]) == (6, False, None)
    assert [entry["key"] for entry in found["refused"]] == ["team/3", "team/4"]
    assert found["refused"][0]["errors"] == [{"pointer": "/limit", "expected": "maximum: 100"}]
    assert str(found["refused"][0]["mod_revision"]) == gateway.ask("GET", "/config/team/3").headers["ETag"].strip('"')
    problem(gateway.ask("GET", "/policy"), 404, "no-policy")
    problem(put(gateway, {"schemas": 1}, "?dry_run=true"), 422, "invalid-policy")
    problem(put(gateway, POLICY, "?dry_run=true", If_Match='"3"'), 412, "precondition-failed")
    assert put(gateway, {}, "?dry_run=true", **NEW).get_json()["checked"] == 0


def test_a_dry_run_is_told_in_pages(gateway: Gateway) -> None:
    for number in range(7):
        assert gateway.ask("PUT", f"/config/team/{number}", b"1").status_code == 201
    found: list[str] = []
    query, pages = "?dry_run=true&limit=3", 0
    while query:
        answer = put(gateway, POLICY, query).get_json()
        found += [entry["key"] for entry in answer["refused"]]
        query = f"?dry_run=true&limit=3&after={answer['next']}" if answer["more"] else ""
        pages += 1
    assert (found, pages) == ([f"team/{number}" for number in range(7)], 3)


def test_a_policy_that_another_tool_broke_stops_writes_and_no_reads(gateway: Gateway, etcd: EtcdServer) -> None:
    """Until it is replaced, which is a write, too."""
    assert gateway.ask("PUT", "/config/a", b"1").status_code == 201
    in_force(gateway, {})
    etcd.etcdctl("put", f"{gateway.prefix}/policy", '{"schemas": 5}')
    found = problem(gateway.ask("PUT", "/config/a", b"2"), 503, "policy-unusable")
    assert "/schemas: a list" in found["detail"]
    assert gateway.ask("GET", "/config/a?use_cache=false").data == b"1"
    assert put(gateway, {}, If_Match="*").status_code == 200
    wait_for(lambda: gateway.ask("PUT", "/config/a", b"2").status_code == 200, what="a write under the new policy")


def test_a_schema_that_another_tool_put_and_is_none_refuses_what_it_counts_for(
    gateway: Gateway, etcd: EtcdServer
) -> None:
    etcd.etcdctl("put", f"{gateway.prefix}/policy", '{"schemas": [{"prefix": "a", "schema": {"type": "no"}}]}')
    found = problem(gateway.ask("PUT", "/config/a", b"2"), 503, "policy-unusable")
    assert "anyOf" in found["detail"]
    assert gateway.ask("PUT", "/config/b", b"2").status_code == 201


def test_flask_alone_answers_the_same(gateway: Gateway) -> None:
    """For whoever embeds the application in a server of their own."""
    flask = dataclasses.replace(gateway, through_flask=True)
    problem(flask.ask("GET", "/policy"), 404, "no-policy")
    problem(put(flask, {}), 428, "condition-required")
    found = problem(put(flask, {"guarded": 5}, **NEW), 422, "invalid-policy")
    assert pointers(found) == ["/guarded"]
    assert put(flask, POLICY, **NEW).status_code == 201
    assert flask.ask("GET", "/policy").get_json() == POLICY
    problem(flask.ask("PUT", "/config/team/a", b"1"), 422, "policy-violation")
    problem(put(flask, b'{"guarded": ["%s"]}' % (b"a" * 2**18), If_Match="*"), 413, "too-large")


def test_what_is_refused_is_counted(gateway: Gateway) -> None:
    in_force(gateway, {**POLICY, "reason_required": ["prod/"]})
    gateway.ask("PUT", "/config/prod/a", b"1")
    gateway.ask("PUT", "/config/team/a", b"1")
    gateway.ask("PUT", "/config/team/b", b"1")
    exposition = gateway.ask("GET", "/metrics").text
    assert 'config_policy_refusals_total{missed="reason"} 1.0' in exposition
    assert 'config_policy_refusals_total{missed="schema"} 2.0' in exposition
