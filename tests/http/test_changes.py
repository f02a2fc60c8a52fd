"""`GET /changes`: both encodings, scopes, rights, limits, the end. What is told when: tests/instance/test_feed.py."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse, create_environ

from consistency.core.feed import MOST_NAMES, Token, mark_of
from consistency.core.model import VersionRecord, new_nonce
from consistency.core.store import Put
from consistency.etcd.calls import Call, Calls
from consistency.instance.past_values import PAGE
from service.auth.tokens import Bearers
from service.changes.streams import SPREAD, STREAM, SYNC_EVERY
from service.http.sending import PIECE
from service.memory.capacity import OF_ANSWER
from service.settings.model import Settings
from tests.http.conftest import Gateway, StartGateway, start_gateway
from tests.support import asgi
from tests.support.etcd import EtcdServer, wait_for
from tests.support.events import EventReader, ServerEvent

WITHIN = 10.0

IDLE = {"read", "keep_alive"}
"""What an instance sends to etcd by itself, now and then: proofs, and signs of life."""


def put(gateway: Gateway, key: str, document: bytes) -> int:
    """The revision. This instance has applied it: before that, who asks is told the rest first, and this after it."""
    answer = gateway.ask("PUT", f"/config/{key}", document)
    assert answer.status_code in (200, 201), answer.data
    revision = int(answer.headers["X-Config-Revision"])
    wait_for(lambda: gateway.cache.status().horizon >= revision)
    return revision


def told(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.data
    document: dict[str, Any] = json.loads(answer.data)
    return document


def changes(gateway: Gateway, query: str = "", **headers: str) -> dict[str, Any]:
    return told(gateway.ask("GET", f"/changes?{query}", None, **headers))


def values(answer: dict[str, Any]) -> dict[str, str | None]:
    return {change["key"]: change.get("value") for change in answer["changes"]}


def problem(answer: TestResponse) -> str:
    return str(json.loads(answer.data)["type"]).rpartition(":")[2]


class Stream:
    """A client of a stream, on the loop of the instance; the test's thread looks at what has come."""

    def __init__(self, gateway: Gateway, query: str, takes: bool, **headers: str) -> None:
        lines = tuple((name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items())
        request = asgi.Request("GET", f"/changes?{query}".encode(), ((b"host", b"localhost"), *lines))
        self._gateway = gateway
        self._reader = EventReader()
        self._read = 0
        self.events: list[ServerEvent] = []
        gateway.cache.do(self._begin(request, takes))

    async def _begin(self, request: asgi.Request, takes: bool) -> None:
        self._exchange = asgi.Exchange(request, takes=takes)
        self._exchange.say(b"", more=False)
        self._task = asyncio.create_task(self._exchange.run(self._gateway.front))

    @property
    def retry(self) -> int:
        return self._reader.retry

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def whole(self) -> bool:
        return self._exchange.answer().is_whole

    @property
    def status(self) -> int:
        return self._exchange.answer().status

    def header(self, name: bytes) -> bytes:
        return self._exchange.answer().header(name)

    def look(self) -> list[ServerEvent]:
        """All that has come so far."""
        sent = self._exchange.sent[1:]
        for message in sent[self._read :]:
            self.events += self._reader.read(message["body"])
        self._read = len(sent)
        return self.events

    def until(self, name: str, count: int = 1) -> list[ServerEvent]:
        wait_for(lambda: sum(event.name == name for event in self.look()) >= count, what=f"{count} of {name}")
        return self.events

    def names(self) -> list[str]:
        return [event.name for event in self.look()]

    def leave(self) -> None:
        self._gateway.cache.do(self._leave())

    async def _leave(self) -> None:
        self._exchange.leave()
        self._exchange.take()
        await asyncio.wait((self._task,), timeout=WITHIN)


@contextmanager
def streaming(gateway: Gateway, query: str = "", *, takes: bool = True, **headers: str) -> Iterator[Stream]:
    stream = Stream(gateway, query, takes, Accept="text/event-stream", **headers)
    try:
        yield stream
    finally:
        stream.leave()


def waiters(gateway: Gateway) -> int:
    return gateway.answering.changes._admission.waiting


class TestLongPoll:
    def test_the_scope_then_what_changes_then_nothing(self, gateway: Gateway) -> None:
        at = put(gateway, "team/a", b'{"x": 1.0}')
        put(gateway, "x", b"1")
        first = changes(gateway, "prefix=team/")
        assert (first["from"], first["reset"], first["cause"], first["more"]) == (None, True, "asked", False)
        assert first["changes"] == [{"key": "team/a", "op": "put", "mod_revision": at, "value": '{"x": 1.0}'}]
        then = put(gateway, "team/b", b"[1,  2]")
        second = changes(gateway, f"prefix=team/&after={first['to']}&wait=10")
        assert (second["from"], second["reset"], "cause" in second) == (first["to"], False, False)
        assert second["changes"] == [{"key": "team/b", "op": "put", "mod_revision": then, "value": "[1,  2]"}]
        assert second["revision"] == then
        third = changes(gateway, f"prefix=team/&after={second['to']}")
        assert (third["changes"], third["from"]) == ([], second["to"])
        assert third["age"] <= gateway.answering.settings.cache_staleness_bound

    def test_a_deletion_and_names_only(self, gateway: Gateway) -> None:
        put(gateway, "a", b"1")
        since = changes(gateway)["to"]
        gone = int(gateway.ask("DELETE", "/config/a").headers["X-Config-Revision"])
        at = put(gateway, "b", b"2")
        assert changes(gateway, f"after={since}&values=false")["changes"] == [
            {"key": "a", "op": "delete", "mod_revision": gone},
            {"key": "b", "op": "put", "mod_revision": at},
        ]

    def test_one_write_that_several_wait_for(self, gateway: Gateway) -> None:
        """Told on the loop, while a thread writes."""
        since = changes(gateway)["to"]

        async def wait_and_write() -> list[asgi.Answer]:
            request = asgi.Request("GET", f"/changes?after={since}&wait=30".encode())
            waits = [asyncio.create_task(asgi.ask(gateway.front, request)) for _ in range(20)]
            while waiters(gateway) < 20:
                await asyncio.sleep(0.01)
            await gateway.answering.cache.put("a", b"1")
            return await asyncio.gather(*waits)

        answers = gateway.cache.do(wait_and_write())
        assert all(values(json.loads(answer.body)) == {"a": "1"} for answer in answers)
        assert waiters(gateway) == 0

    def test_documents_come_back_byte_for_byte_whatever_they_are(self, gateway: Gateway, etcd: EtcdServer) -> None:
        documents = {
            "numbers": b'{"a": 1.0, "a2": 12345678901234567890, "e": 1e2}',
            "spaces": b' { "b" :\n\t1,\r\n "a": 2 }\n',
            "text": '"\u00e9 \U0001f389 \\ud83c"'.encode(),
        }
        for key, document in documents.items():
            put(gateway, f"own/{key}", document)
        etcd.etcdctl("put", f"{gateway.prefix}/config/own/raw", "no JSON: }")
        gateway.ask("GET", "/config/own/raw?consistency=linearizable")  # by which the horizon is past it
        found = changes(gateway, "prefix=own/")
        assert {k: v and v.encode() for k, v in values(found).items()} == {
            **{f"own/{key}": document for key, document in documents.items()},
            "own/raw": b"no JSON: }",
        }

    def test_a_key_that_no_path_can_name_is_left_out(self, gateway: Gateway, etcd: EtcdServer) -> None:
        etcd.etcdctl("put", f"{gateway.prefix}/config/a//b", "1")
        put(gateway, "a/c", b"1")
        assert values(changes(gateway, "prefix=a/")) == {"a/c": "1"}

    def test_an_absent_key_can_be_followed(self, gateway: Gateway) -> None:
        first = changes(gateway, "key=not/yet")
        assert (first["changes"], first["reset"]) == ([], True)
        put(gateway, "not/yet", b"1")
        assert values(changes(gateway, f"key=not/yet&after={first['to']}&wait=10")) == {"not/yet": "1"}

    def test_a_large_scope_comes_in_pages_of_one_revision(self, gateway: Gateway) -> None:
        put_many(gateway, 300, "p/")
        first = changes(gateway, "prefix=p/")
        assert first["more"]
        put(gateway, "p/0", b'"new"')
        second = changes(gateway, f"prefix=p/&after={first['to']}")
        assert (second["more"], second["reset"], second["revision"]) == (False, False, first["revision"])
        assert values(first) | values(second) == {f"p/{n}": str(n) for n in range(300)}
        assert values(changes(gateway, f"prefix=p/&after={second['to']}")) == {"p/0": '"new"'}

    def test_a_head_waits_for_nothing(self, gateway: Gateway) -> None:
        since = changes(gateway)["to"]
        answer = gateway.ask("HEAD", f"/changes?after={since}&wait=50")
        assert (answer.status_code, answer.data) == (200, b"")

    def test_what_is_told_is_never_older_from_another_instance(self, gateways: StartGateway) -> None:
        """`revision` is a session: who was told by one reads nothing older from the other."""
        one, other = gateways(), gateways()
        since = changes(one)["to"]
        put(other, "a", b"1")
        answer = changes(one, f"after={since}&wait=10")
        read = other.ask("GET", f"/config/a?min_revision={answer['revision']}")
        assert (read.status_code, read.data) == (200, b"1")
        assert changes(other, f"after={answer['to']}")["changes"] == []


class TestRefusals:
    @pytest.mark.parametrize(
        "query",
        ["prefxi=a", "wait=56", "wait=-1", "wait=1.5", "wait=1&wait=2", "values=yes", "after=7", "after=",
         "after=0-" + "0" * 32, "key=", "key=a//b", "prefix=a//b", "key=%ff", "prefix=%00", "key=a%zz",
         "&".join(f"key=k{n}" for n in range(65))],
    )  # fmt: skip
    def test_what_is_not_understood_is_refused(self, shared: Gateway, query: str) -> None:
        answer = shared.ask("GET", f"/changes?{query}")
        assert answer.status_code == 400
        assert shared.ask("GET", f"/changes?{query}", Accept=STREAM).status_code == 400

    def test_a_stream_has_nothing_to_wait_for(self, shared: Gateway) -> None:
        answer = shared.ask("GET", "/changes?wait=5", Accept=STREAM)
        assert (answer.status_code, problem(answer)) == (400, "invalid-parameter")

    def test_a_last_event_id_that_was_never_given_out_is_refused(self, shared: Gateway) -> None:
        answer = shared.ask("GET", "/changes", Accept=STREAM, Last_Event_ID="7")
        assert (answer.status_code, problem(answer)) == (400, "invalid-parameter")

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_no_other_method(self, shared: Gateway, method: str) -> None:
        assert shared.ask(method, "/changes", b"").status_code == 405

    def test_a_token_of_another_history_is_410(self, shared: Gateway) -> None:
        here = Token.parse(changes(shared)["to"])
        for token in (Token(here.revision, mark_of("other")), Token(here.revision + 1000, here.mark)):
            for accept in ("application/json", STREAM):
                answer = shared.ask("GET", f"/changes?after={token}", Accept=accept)
                assert (answer.status_code, problem(answer)) == (410, "wrong-timeline")


class TestRights:
    TOKENS = (
        {"name": "team", "token": "t" * 32, "scopes": ["read"], "prefix": "team/"},
        {"name": "all", "token": "a" * 32, "scopes": ["read", "write"]},
        {"name": "looker", "token": "o" * 32, "scopes": ["observe"]},
    )

    @pytest.fixture
    def guarded(self, gateways: StartGateway) -> Gateway:
        return gateways(tokens=list(self.TOKENS))

    @staticmethod
    def bearing(letter: str) -> str:
        return f"Bearer {letter * 32}"

    def test_a_tokens_prefix_narrows_the_scope(self, guarded: Gateway) -> None:
        for key in ("team/a", "other/b"):
            guarded.ask("PUT", f"/config/{key}", b"1", Authorization=self.bearing("a"))
        for query in ("", "prefix=", "prefix=t", "prefix=team/", "key=team/a"):
            assert values(changes(guarded, query, Authorization=self.bearing("t"))) == {"team/a": "1"}
        for query in ("prefix=other/", "key=other/b", "prefix=team/&key=other/b"):
            assert guarded.ask("GET", f"/changes?{query}", Authorization=self.bearing("t")).status_code == 403

    def test_nobody_without_the_right_to_read(self, guarded: Gateway) -> None:
        assert guarded.ask("GET", "/changes").status_code == 401
        assert guarded.ask("GET", "/changes", Authorization=self.bearing("o")).status_code == 403

    def test_a_stream_ends_when_its_token_is_taken_away(self, guarded: Gateway) -> None:
        """Rights are looked at again at each sync, not only when the stream is opened."""
        keyring = guarded.answering.door._keyring
        assert keyring is not None
        with streaming(guarded, "prefix=team/", Authorization=self.bearing("t")) as stream:
            stream.until("sync")
            kept = (keyring.bearers.named(name) for name in ("all", "looker"))
            keyring.bearers = Bearers([token for token in kept if token])
            guarded.ask("PUT", "/config/team/a", b"1", Authorization=self.bearing("a"))
            goodbye = stream.until("goodbye")[-1]
            assert goodbye.data == {"reason": "rights"}
            assert stream.names() == ["reset", "sync", "goodbye"], "nothing is told any more"
            wait_for(lambda: stream.ended, what="the end of the stream")
            assert stream.whole


class TestStream:
    def test_it_tells_the_scope_then_each_transaction_and_a_sync_after_it(self, gateway: Gateway) -> None:
        put(gateway, "team/a", b"1")
        with streaming(gateway, "prefix=team/") as stream:
            assert stream.until("sync")[0].data["cause"] == "asked"
            assert stream.names() == ["reset", "put", "sync"]
            assert (stream.header(b"content-type"), stream.header(b"x-accel-buffering")) == (
                b"text/event-stream", b"no",
            )  # fmt: skip
            operations = [
                {"op": "put", "key": "team/b", "value": {"n": 1}},
                {"op": "delete", "key": "team/a"},
                {"op": "put", "key": "elsewhere", "value": 1},
            ]
            answer = json.loads(gateway.ask("POST", "/config/", json.dumps({"operations": operations}).encode()).data)
            events = stream.until("sync", 2)
            assert [(event.name, event.data.get("key")) for event in events[3:]] == [
                ("delete", "team/a"), ("put", "team/b"), ("sync", None),
            ]  # fmt: skip
            assert events[4].data["value"] == '{"n": 1}'
            assert events[5].data["revision"] == answer["revision"]
            assert [event.has_id for event in events] == [event.name == "sync" for event in events]
            assert events[5].id == events[5].data["to"]

    def test_who_comes_back_with_the_last_id_misses_nothing(self, gateways: StartGateway) -> None:
        one, other = gateways(), gateways()
        with streaming(one) as stream:
            last = stream.until("sync")[-1].id
        put(one, "a", b"1")
        put(one, "a", b"2")
        with streaming(other, f"after={last}", Last_Event_ID=last) as stream:
            events = stream.until("sync")
            assert [(event.name, event.data.get("value")) for event in events] == [("put", "2"), ("sync", None)]

    def test_the_last_id_goes_before_the_parameter(self, gateway: Gateway) -> None:
        old = changes(gateway)["to"]
        put(gateway, "a", b"1")
        new = changes(gateway, f"after={old}")["to"]
        with streaming(gateway, f"after={old}", Last_Event_ID=new) as stream:
            stream.until("sync")
            assert stream.names() == ["sync"]

    def test_silence_that_is_not_proven_any_more_is_told_and_so_is_when_it_is(
        self, new_etcd: type[EtcdServer], tmp_path: Path
    ) -> None:
        """`stale` within the bound, long before the next `sync` is due; and a `sync` as soon as proofs are back."""
        with ExitStack() as stack:
            etcd = stack.enter_context(new_etcd(tmp_path))
            gateway = start_gateway(stack, etcd, "/stale", cache_staleness_bound=0.5)
            with streaming(gateway) as stream:
                stream.until("sync")
                etcd.pause()
                (stale,) = [event for event in stream.until("stale") if event.name == "stale"]
                assert 0.5 <= stale.data["age"] < SYNC_EVERY
                assert gateway.ask("GET", f"/changes?after={stale.id}").status_code == 503
                etcd.resume()
                stream.until("sync", 2)
                assert stream.names()[:4] == ["reset", "sync", "stale", "sync"]

    def test_a_client_that_does_not_read_is_told_the_last_of_each_key_when_it_does(self, gateway: Gateway) -> None:
        """Nothing is kept for it: it stands where it stood."""
        put(gateway, "a", b"0")
        with streaming(gateway, takes=False) as stream:
            wait_for(lambda: len(stream._exchange.sent) >= 2, what="the first piece")
            for number in range(1, 50):
                last = put(gateway, "a", b"%d" % number)
            assert len(stream._exchange.sent) == 2
            stream._gateway.cache.do(_take(stream))
            wait_for(
                lambda: any(event.name == "sync" and event.data["revision"] >= last for event in stream.look()),
                what="the last change",
            )
            puts = [event.data["value"] for event in stream.events if event.name == "put"]
            assert puts[-1] == "49"
            assert len(puts) <= 2, "what it has missed is told once"

    def test_who_goes_away_is_let_go(self, gateway: Gateway) -> None:
        with streaming(gateway) as stream:
            stream.until("sync")
            assert waiters(gateway) == 1
        assert waiters(gateway) == 0
        assert not gateway.answering.changes._admission._places

    def test_a_document_of_another_tool_that_is_not_utf_8(self, gateway: Gateway) -> None:
        store = gateway.cache._store
        put(gateway, "raw", b"1")
        record = VersionRecord(new_nonce(), frozenset({"raw"}), "put")
        since = changes(gateway)["to"]
        gateway.cache.do(store.commit((Put("raw", b"\xff\x00"),), record, timeout=3))
        (change,) = changes(gateway, f"after={since}&wait=10")["changes"]
        assert (base64.b64decode(change["base64"]), "value" in change) == (b"\xff\x00", False)


class TestCost:
    """Counted where it is sent to etcd: a waiter costs nothing, and a change one read, however many are told."""

    def test_a_change_costs_one_read_and_who_waits_none(
        self, gateways: StartGateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway = gateways(cache_audit_interval=3600.0)
        sent: list[str] = []
        ask = Calls.ask

        async def counted(calls: Calls[Any], call: Call, timeout: float) -> Any:
            if call.kind not in IDLE:
                sent.append(call.kind)
            return await ask(calls, call, timeout)

        monkeypatch.setattr(Calls, "ask", counted)
        put(gateway, "team/a", b"1")
        with ExitStack() as stack:
            streams = [stack.enter_context(streaming(gateway, "prefix=team/")) for _ in range(30)]
            streams += [stack.enter_context(streaming(gateway, "key=team/a")) for _ in range(30)]
            for stream in streams:
                stream.until("sync")
            assert sent == ["scan", "values"], "one for all of each scope"
            put(gateway, "team/a", b"2")
            for stream in streams:
                assert stream.until("sync", 2)[-2].data["value"] == "2"
        assert sent == ["scan", "values", "values"]


class TestMemory:
    def test_who_waits_keeps_nothing_of_its_request(self, gateways: StartGateway) -> None:
        """There are thousands, for minutes: no header, and of the environment what their rights are looked at by."""
        gateway = gateways(tokens=list(TestRights.TOKENS))
        scope = asgi.Request("GET", b"/changes?prefix=team/").scope
        lines = {b"host": b"localhost", b"authorization": TestRights.bearing("t").encode(), b"accept": STREAM.encode()}
        scope["headers"] = [*lines.items(), (b"cookie", b"much=" + b"x" * 4000)]
        exchange = asgi.Exchange(asgi.Request("GET", b""))
        exchange.say(b"", more=False)

        async def begin() -> None:
            task = asyncio.create_task(gateway.front(scope, exchange.receive, exchange.send))
            while len(exchange.sent) < 3:
                await asyncio.sleep(0.01)
            kept.append(sorted(map(str, _locals_of(task)["environ"])))
            exchange.leave()
            await task

        kept = list[list[str]]()
        gateway.cache.do(begin())
        assert scope == {}
        assert kept == [
            [
                "HTTP_AUTHORIZATION",
                "PATH_INFO",
                "REQUEST_METHOD",
                "config_service.bearer",
                "config_service.prefix",
                "config_service.token",
            ]
        ]

    def test_a_large_change_that_many_are_told_takes_its_room_once(self, gateway: Gateway) -> None:
        """Clients that are told the same share the same bytes. Charged to each, they would have room for 16 of 40."""
        document = json.dumps("x" * 1_000_000).encode()
        with ExitStack() as stack:
            streams = [stack.enter_context(streaming(gateway, "key=k")) for _ in range(40)]
            for stream in streams:
                stream.until("sync")
                stream._exchange.takes = False
            room, told = gateway.front._room, [len(stream._exchange.sent) for stream in streams]
            put(gateway, "k", document)
            wait_for(lambda: [len(stream._exchange.sent) for stream in streams] == [each + 1 for each in told])
            taken = room.most - room.budget.free - len(streams) * OF_ANSWER * PIECE
            assert len(document) < taken < 1.01 * len(document)
            for stream in streams:
                gateway.cache.do(_take(stream))
            for stream in streams:
                assert [event.name for event in stream.until("sync", 2)[2:]] == ["put", "sync"]
                assert stream.events[2].data["value"] == document.decode()
            assert room.budget.free == room.most


def _locals_of(task: asyncio.Task[None]) -> dict[str, Any]:
    """What the coroutine of a task that waits keeps."""
    (frame,) = task.get_stack(limit=1)
    return frame.f_locals


class TestLimits:
    def test_an_instance_takes_so_many_waiters_and_no_more(self, gateways: StartGateway) -> None:
        gateway = gateways(max_waiters=2)
        with streaming(gateway) as one, streaming(gateway) as two:
            one.until("sync")
            two.until("sync")
            answer = gateway.ask("GET", "/changes")
            assert (answer.status_code, problem(answer)) == (429, "too-many-waiters")
            assert int(answer.headers["Retry-After"]) > 0
            assert gateway.ask("GET", "/changes", Accept=STREAM).status_code == 429
        assert gateway.ask("GET", "/changes").status_code == 200

    def test_one_token_can_not_take_all(self, gateways: StartGateway) -> None:
        gateway = gateways(max_waiters_per_token=1, tokens=list(TestRights.TOKENS))
        with streaming(gateway, Authorization=TestRights.bearing("t")) as stream:
            stream.until("sync")
            assert gateway.ask("GET", "/changes", Authorization=TestRights.bearing("t")).status_code == 429
            assert gateway.ask("GET", "/changes", Authorization=TestRights.bearing("a")).status_code == 200


class TestTheEnd:
    def test_an_instance_that_drains_lets_everybody_go_and_says_when_to_come_back(self, gateway: Gateway) -> None:
        since = changes(gateway)["to"]

        async def drain() -> asgi.Answer:
            request = asgi.Request("GET", f"/changes?after={since}&wait=50".encode())
            poll = asyncio.create_task(asgi.ask(gateway.front, request))
            while waiters(gateway) < 2:
                await asyncio.sleep(0.01)
            gateway.answering.start_draining()
            return await poll

        with streaming(gateway) as stream:
            stream.until("sync")
            poll = gateway.cache.do(drain())
            assert (poll.status, json.loads(poll.body)["changes"]) == (200, [])
            assert stream.until("goodbye")[-1].data == {"reason": "draining"}
            assert 500 <= stream.retry <= 4000
            wait_for(lambda: stream.ended, what="the end of the stream")
            assert stream.whole
        with streaming(gateway, f"after={since}") as late:
            late.until("goodbye")
            assert late.names() == ["sync", "goodbye"]

    def test_a_stream_ends_in_order_before_a_router_ends_it_and_each_at_its_time(self, gateways: StartGateway) -> None:
        """Cloud Foundry allows a request 15 minutes. Nothing is lost, and not all come back at once."""
        assert Settings().stream_lifetime < 15 * 60
        gateway = gateways(stream_lifetime=2.0)
        begun = time.monotonic()
        with ExitStack() as stack:
            streams = [stack.enter_context(streaming(gateway)) for _ in range(8)]
            ended = dict[int, float]()

            def all_have_ended() -> bool:
                for number, stream in enumerate(streams):
                    if stream.ended:
                        ended.setdefault(number, time.monotonic() - begun)
                return len(ended) == len(streams)

            wait_for(all_have_ended, what="the end of the streams")
            for stream in streams:
                assert stream.names() == ["reset", "sync", "sync", "goodbye"]
                assert stream.events[-1].data == {"reason": "lifetime"}
                assert (500 <= stream.retry <= 4000, stream.whole) == (True, True)
            assert min(ended.values()) >= 2.0 * (1 - SPREAD)
            assert max(ended.values()) - min(ended.values()) >= 0.05, "a step of the clock that wakes them"
            last = streams[0].events[-1].id
        assert waiters(gateway) == 0
        at = put(gateway, "a", b"1")
        with streaming(gateway, Last_Event_ID=last) as stream:
            assert stream.until("sync")[-1].data["revision"] == at
            assert stream.names() == ["put", "sync"]

    def test_a_lifetime_ends_between_two_transactions_also_while_there_is_more_to_tell(
        self, gateways: StartGateway
    ) -> None:
        """A slow client of fast changes would never come to the end otherwise. Nothing is lost by it."""
        gateway = gateways(stream_lifetime=1.0)
        since = changes(gateway)["to"]
        put_many(gateway, MOST_NAMES, "a/")
        at = put_many(gateway, MOST_NAMES, "b/")
        with streaming(gateway, f"after={since}", takes=False) as stream:
            take_late(stream, 1.0)
            names = stream.names()
            assert (names[-2:], names.count("put")) == (["sync", "goodbye"], MOST_NAMES)
            assert (stream.events[-1].data, stream.whole) == ({"reason": "lifetime"}, True)
            last = stream.events[-2].id
        with streaming(gateway, Last_Event_ID=last) as stream:
            assert stream.until("sync")[-1].data["revision"] == at
            assert stream.names().count("put") == MOST_NAMES

    def test_a_snapshot_is_told_to_its_end_however_long_that_takes(self, gateways: StartGateway) -> None:
        """Nobody goes on from within one, so one that is cut off would begin anew, and never end."""
        gateway = gateways(stream_lifetime=1.0)
        count = 2 * PAGE + 1
        put_many(gateway, count, "a/")
        with streaming(gateway, takes=False) as stream:
            take_late(stream, 1.0)
            names = stream.names()
            assert names == ["reset", *["put"] * count, "sync", "goodbye"]
            assert (stream.events[-1].data, stream.whole) == ({"reason": "lifetime"}, True)


def put_many(gateway: Gateway, count: int, prefix: str) -> int:
    """Documents, MOST_NAMES in one transaction at most. The revision of the last."""
    revision = 0
    for at in range(0, count, MOST_NAMES):
        keys = range(at, min(count, at + MOST_NAMES))
        operations = [{"op": "put", "key": f"{prefix}{key}", "value": key} for key in keys]
        answer = gateway.ask("POST", "/config/", json.dumps({"operations": operations}).encode())
        revision = int(json.loads(answer.data)["revision"])
    wait_for(lambda: gateway.cache.status().horizon >= revision)
    return revision


def take_late(stream: Stream, seconds: float) -> None:
    """Take all of it, but begin after so many seconds."""
    begun = time.monotonic()
    wait_for(lambda: time.monotonic() - begun > seconds, what="the time")
    stream._gateway.cache.do(_take(stream))
    wait_for(lambda: stream.ended, what="the end of the stream")


async def _take(stream: Stream) -> None:
    stream._exchange.take()


def test_flask_tells_the_same(gateway: Gateway) -> None:
    """Both encodings, and a refusal: a server of one's own for `create_app` has all of it."""
    put(gateway, "team/a", b'{"n": 1}')
    flask = replace(gateway, through_flask=True)
    for query in ("prefix=team/", "prefix=team/&values=false", "key=team/a&key=team/none"):
        answers = [changes(each, query) for each in (gateway, flask)]
        for answer in answers:
            assert answer.pop("age") < WITHIN
        assert answers[0] == answers[1]
    refused = [each.ask("GET", "/changes?wait=1&waits=2") for each in (gateway, flask)]
    assert [(each.status_code, each.data) for each in refused] == [(400, refused[0].data)] * 2
    stream = flask.app.test_client().get("/changes?prefix=team/", headers={"Accept": STREAM}, buffered=False)
    assert (stream.status_code, stream.headers["Content-Type"]) == (200, STREAM)
    told = b""
    for piece in stream.response:
        told += piece if isinstance(piece, bytes) else piece.encode()
        if b"event: sync" in told:
            break
    stream.close()
    assert [line for line in told.splitlines() if line.startswith(b"event:")] == [
        b"event: reset", b"event: put", b"event: sync",
    ]  # fmt: skip
    assert waiters(gateway) == 0


def test_flask_keeps_no_place_for_a_stream_that_nobody_has_begun_to_take(gateway: Gateway) -> None:
    """
    1. A stream is asked for, and begins; 2. its client goes; 3. the server closes what it has not taken anything of: a
    generator that was never begun, which has no end either.
    """
    begun = list[Any]()
    environ = create_environ("/changes", headers={"Accept": STREAM})
    stream = gateway.app(environ, lambda *start: begun.append(start[0]) or bytes)  # type: ignore[func-returns-value]
    assert (begun, waiters(gateway)) == (["200 OK"], 1)
    stream.close()  # type: ignore[attr-defined]  # PEP 3333: of whatever has one
    assert waiters(gateway) == 0


def test_no_stream_is_begun_for_a_request_with_a_body(gateway: Gateway) -> None:
    """Whichever way it comes: nobody would hear that its client has gone."""
    for each in (gateway, replace(gateway, through_flask=True)):
        answer = each.ask("GET", "/changes", b"1", Accept=STREAM)
        assert (answer.status_code, problem(answer)) == (400, "unexpected-body")
    assert waiters(gateway) == 0
