"""`GET ?revision=R`: a document as it stood, until that is compacted (the contract)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.conftest import Gateway, start_gateway
from tests.support.etcd import EtcdServer

KEY = "/config/a"


@pytest.fixture
def history(gateway: Gateway) -> tuple[Gateway, int, int, int]:
    """A document that was created, replaced and deleted, and the revisions at which that was done."""
    steps = [("PUT", b' {"a" : 1E400}'), ("PUT", b"2"), ("DELETE", None)]
    revisions = [int(gateway.ask(method, KEY, body).headers["X-Config-Revision"]) for method, body in steps]
    return gateway, revisions[0], revisions[1], revisions[2]


def test_the_past_is_as_it_was(history: tuple[Gateway, int, int, int]) -> None:
    """At, before and after each change, with the tag of that time; never from memory."""
    gateway, created, replaced, deleted = history
    gateway.ask("PUT", "/config/other", b"1")
    first, second = (b' {"a" : 1E400}', f'"{created}"'), (b"2", f'"{replaced}"')
    for revision, expected in ((created, first), (replaced - 1, first), (replaced, second), (deleted - 1, second)):
        answer = gateway.ask("GET", f"{KEY}?revision={revision}")
        assert (answer.status_code, (answer.data, answer.headers["ETag"])) == (200, expected)
        assert answer.headers["X-Config-Revision"] == str(revision)
        assert answer.headers["X-Cache"] == "BYPASS"
        assert "Set-Cookie" not in answer.headers
    for revision in (1, created - 1, deleted, deleted + 1):
        answer = gateway.ask("GET", f"{KEY}?revision={revision}")
        assert (answer.status_code, answer.headers["X-Config-Revision"]) == (404, str(revision))
        assert "ETag" not in answer.headers


def test_the_past_knows_conditions(history: tuple[Gateway, int, int, int]) -> None:
    """304 and 412 by the tag of that time, and HEAD."""
    gateway, created, replaced, _ = history
    path = f"{KEY}?revision={created}"
    assert gateway.ask("GET", path, If_None_Match=f'"{created}"').status_code == 304
    assert gateway.ask("GET", path, If_None_Match=f'"{replaced}"').status_code == 200
    assert gateway.ask("GET", path, If_Match=f'"{replaced}"').status_code == 412
    get, head = gateway.ask("GET", path), gateway.ask("HEAD", path)
    assert (head.status_code, head.data, dict(head.headers)) == (200, b"", dict(get.headers))


def test_the_past_does_not_become_the_present(history: tuple[Gateway, int, int, int]) -> None:
    """Nothing of it is kept in memory; and a session doesn't move it: who asks for revision 5 gets revision 5."""
    gateway, created, _, deleted = history
    assert gateway.ask("GET", f"{KEY}?revision={created}", Cookie=gateway.session(deleted)).status_code == 200
    assert gateway.ask("GET", KEY).status_code == 404


def test_a_revision_that_is_not_reached_is_410(history: tuple[Gateway, int, int, int]) -> None:
    """As with a session, a future revision is one from before a restore; told apart from a compacted one."""
    gateway = history[0]
    for revision in (2**62, 2**63 - 1):
        answer = gateway.ask("GET", f"{KEY}?revision={revision}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (410, "application/problem+json")
        assert answer.get_json(force=True)["type"].endswith(":not-reached")


@pytest.mark.parametrize(
    "query", ["revision=0", "revision=x", "revision=5&use_cache=true", "revision=5&min_revision=4"]
)
def test_a_wrong_question_about_the_past_is_400(shared: Gateway, query: str) -> None:
    """No silent defaults."""
    assert shared.ask("GET", f"{KEY}?{query}").status_code == 400


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_compacted_revision_is_410(stack: ExitStack, new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """On an etcd of its own: a compaction is for everybody. At the compacted revision itself etcd still answers."""
    etcd = stack.enter_context(new_etcd(tmp_path))
    gateway = start_gateway(stack, etcd, "/past")
    first, second, third = (int(gateway.ask("PUT", KEY, b"%d" % n).headers["X-Config-Revision"]) for n in (1, 2, 3))
    etcd.etcdctl("compaction", str(second))
    compacted = gateway.ask("GET", f"{KEY}?revision={first}")
    assert (compacted.status_code, compacted.headers["Content-Type"]) == (410, "application/problem+json")
    assert compacted.get_json(force=True)["type"].endswith(":compacted")
    assert [gateway.ask("GET", f"{KEY}?revision={revision}").data for revision in (second, third)] == [b"2", b"3"]
    assert gateway.ask("GET", KEY).data == b"3"
