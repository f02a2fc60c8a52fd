"""What the front owes to those who send slowly, take slowly, hang or go away; on the loop, without a server."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from consistency.core.model import Applied
from consistency.core.store import Delete
from service.http import bridge as bridges
from service.http import front, sending, unread
from service.http.answers import answer_batch
from service.http.bridge import Bridge, MadeWhenAsked
from service.http.front import ANSWER_EXCEEDS, Front
from service.http.requests import Environ
from service.http.sending import LARGE, PIECE
from service.memory.capacity import OF_ANSWER
from tests.http.conftest import ANSWERS, Gateway, StartGateway, start_front, start_gateway
from tests.support.asgi import Answer, Exchange, Request, ask
from tests.support.etcd import EtcdServer

T = TypeVar("T")

DEADLINE = 10.0
HOST = (b"host", b"localhost")
BIG = b'"' + b"x" * 300_000 + b'"'


def do(gateway: Gateway, work: Coroutine[Any, Any, T]) -> T:
    """On the loop of the gateway's cache, which is the front's."""

    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE):
            return await work

    return gateway.cache.do(bounded())


def put(target: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> Request:
    return Request("PUT", target, (HOST, (b"content-length", b"%d" % len(body)), *headers), body)


def get(target: bytes) -> Request:
    return Request("GET", target)


def slug(answer: Answer) -> str:
    """Of a problem document, which says that nothing was done."""
    document = json.loads(answer.body)
    assert document["outcome"] == "not done"
    assert document["status"] == answer.status
    return str(document["type"].rpartition(":")[2])


def counted(gateway: Gateway, status: int) -> float:
    """Answers of this status so far, whatever they answer."""
    text = gateway.answering.instruments.exposition()[0].decode()
    lines = [line for line in text.splitlines() if line.startswith("config_http_requests_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'status="{status}"' in line)


async def until(claim: Callable[[], bool]) -> None:
    while not claim():
        await asyncio.sleep(0.002)


@pytest.fixture(scope="module")
def with_documents(etcd: EtcdServer) -> Iterator[Gateway]:
    """One that has a small document and a big one in memory."""
    with ExitStack() as stack:
        gateway = start_gateway(stack, etcd, "/front")
        for key, body in (("small", b"[1]"), ("big", BIG)):
            assert gateway.ask("PUT", f"/config/{key}", body).status_code == 201
            gateway.ask("GET", f"/config/{key}")
            assert gateway.ask("GET", f"/config/{key}").headers["X-Cache"] == "HIT"
        yield gateway


# --- large answers


@pytest.mark.parametrize("target", [b"/config/big", b"/config/big?use_cache=false"])
def test_a_large_answer_goes_out_in_pieces_as_its_client_takes_them(with_documents: Gateway, target: bytes) -> None:
    """Hazard: a server copies one for each client that never reads. One piece is on its way at a time."""

    async def scenario() -> Answer:
        exchange = Exchange(get(target), takes=False)
        exchange.say(b"", more=False)
        answering = asyncio.create_task(exchange.run(with_documents.front))
        await exchange.begun()
        await until(lambda: len(exchange.sent) > 1)
        await asyncio.sleep(0.01)
        assert len(exchange.sent) == 2, "the beginning, and one piece"
        exchange.take()
        answer = await answering
        assert max(len(message.get("body", b"")) for message in exchange.sent) == PIECE
        return answer

    answer = do(with_documents, scenario())
    assert (answer.status, answer.body, answer.is_whole) == (200, BIG, True)
    assert answer.header(b"content-length") == b"%d" % len(BIG)


def test_who_takes_too_little_for_too_long_is_cut_off(with_documents: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room can't be kept by reading a byte now and then; the end is missing, so that the server ends the connection."""
    monkeypatch.setattr(sending, "allowed", lambda at: 0.05 if at else DEADLINE)

    async def takes_one_piece() -> Answer:
        exchange = OnePiece(get(b"/config/big"))
        exchange.say(b"", more=False)
        return await exchange.run(with_documents.front)

    answer = do(with_documents, takes_one_piece())
    assert (answer.status, answer.is_whole) == (200, False)
    assert len(answer.body) < len(BIG)


class OnePiece(Exchange):
    """A client that takes one piece of the answer and no more."""

    async def send(self, message: dict[str, Any]) -> None:
        await super().send(message)
        if len(self.sent) > 2:
            await asyncio.Event().wait()


@pytest.fixture
def narrow(with_documents: Gateway) -> Iterator[Front]:
    """A front with room for one answer as long as BIG."""
    with ExitStack() as stack:
        it = with_documents
        yield start_front(
            stack, it.answering, it.cache, it.answering.instruments.observe, answers=OF_ANSWER * len(BIG) + LARGE
        )


async def taking(front: Front, request: Request) -> tuple[Exchange, asyncio.Task[Answer]]:
    """A request whose answer is begun, and taken no further."""
    exchange = Exchange(request, takes=False)
    exchange.say(request.body, more=False)
    answering = asyncio.create_task(exchange.run(front))
    await until(lambda: len(exchange.sent) > 1)
    return exchange, answering


def test_beyond_the_room_a_large_answer_is_503_and_counted_as_that(with_documents: Gateway, narrow: Front) -> None:
    """Not as the 200 that it would have been; small ones, and refusals, need no room."""

    async def scenario() -> None:
        exchange, answering = await taking(narrow, get(b"/config/big"))
        for target in (b"/config/big", b"/config/big?use_cache=false"):
            refused = await ask(narrow, get(target))
            assert (refused.status, refused.header(b"retry-after"), slug(refused)) == (503, b"1", "too-many-answers")
        assert (await ask(narrow, get(b"/config/small"))).body == b"[1]"
        exchange.take()
        assert (await answering).body == BIG
        assert (await ask(narrow, get(b"/config/big"))).body == BIG, "the room is free again"

    before = counted(with_documents, 200), counted(with_documents, 503)
    do(with_documents, scenario())
    assert (counted(with_documents, 200), counted(with_documents, 503)) == (before[0] + 3, before[1] + 2)


def test_a_stream_whose_events_find_no_room_says_goodbye(with_documents: Gateway, narrow: Front) -> None:
    """What it would keep while its client takes nothing is counted with the other large answers; it has its token."""
    follow = Request("GET", b"/changes?prefix=big", ((b"host", b"localhost"), (b"accept", b"text/event-stream")))

    async def scenario() -> Answer:
        exchange, answering = await taking(narrow, get(b"/config/big"))
        told = await ask(narrow, follow)
        exchange.take()
        await answering
        return told

    told = do(with_documents, scenario())
    assert (told.status, told.is_whole) == (200, True)
    assert b'event: goodbye\ndata: {"reason": "busy"}' in told.body
    assert len(told.body) < LARGE
    assert b"event: sync" not in told.body


def test_a_stream_is_not_asked_for_with_a_body(with_documents: Gateway) -> None:
    """Nobody would receive it, or hear that its client has gone; no answer comes after which it could be discarded."""
    lines = ((b"host", b"localhost"), (b"accept", b"text/event-stream"), (b"content-length", b"3"))
    told = do(with_documents, ask(with_documents.front, Request("GET", b"/changes", lines, b"[1]")))
    assert (told.status, slug(told), told.header(b"connection")) == (400, "unexpected-body", b"close")


def test_a_write_whose_answer_finds_no_room_is_not_done(with_documents: Gateway, narrow: Front) -> None:
    """Else the 503 in the place of its answer would deny what has happened."""

    async def scenario() -> tuple[Answer, Answer]:
        exchange, answering = await taking(narrow, get(b"/config/big"))
        refused = await ask(narrow, put(b"/config/other", BIG))
        found = await ask(narrow, get(b"/config/other?use_cache=false"))
        exchange.take()
        await answering
        return refused, found

    refused, found = do(with_documents, scenario())
    assert (refused.status, slug(refused), found.status) == (503, "too-many-answers", 404)
    assert do(with_documents, ask(narrow, put(b"/config/other", BIG))).status == 201


def test_the_answer_to_a_batch_is_hardly_longer_than_its_body() -> None:
    """Room for it is found by the length of its body: of the longest keys, and of those that have to be escaped."""
    for filling in ("a", '"', "\\", "\xe9", "/"):
        keys = [f"{number:02}" + filling * 400 for number in range(100)]
        operations = ",".join(f'{{"op":"delete","key":{json.dumps(key, ensure_ascii=False)}}}' for key in keys)
        body = f'{{"operations":[{operations}]}}'.encode()
        applied = Applied(2**63 - 1, (False,) * 100, (64, 64))
        answer = answer_batch([Delete(key) for key in keys], applied, "0" * 16)
        assert len(answer.body) <= len(body) + ANSWER_EXCEEDS


# --- bodies that nobody waits for


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", b"/config/small", (), 200),
        ("GET", b"/healthz", (), 200),
        ("GET", b"/members", (), 200),
        ("PUT", b"/nothing", (), 404),
        ("PUT", b"/config/a?x=1", (), 400),
        ("PUT", b"/config/a", ((b"content-encoding", b"gzip"),), 415),
        ("PUT", b"/config/a", ((b"transfer-encoding", b"chunked"),), 411),
        ("PUT", b"/config/a", ((b"origin", b"http://evil.example"),), 403),
        ("DELETE", b"/config/nothing", (), 204),
        ("POST", b"/config/", ((b"content-encoding", b"gzip"),), 415),
    ],
)
def test_an_answer_does_not_wait_for_a_body_that_it_does_not_want(
    with_documents: Gateway, method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    """A client may send no more before it has read its answer; then what it sends is discarded, until the end."""

    async def scenario() -> Answer:
        exchange = Exchange(Request(method, target, (HOST, (b"content-length", b"100"), *headers)))
        answering = asyncio.create_task(exchange.run(with_documents.front))
        assert await exchange.begun() == status
        assert exchange.answer().is_whole
        assert not answering.done(), "it receives what still comes"
        for _ in range(10):
            exchange.say(b"1" * 10)
        exchange.leave()
        return await answering

    answer = do(with_documents, scenario())
    assert answer.header(b"connection") == b"close"


def test_who_asks_before_sending_is_spared_the_body(with_documents: Gateway) -> None:
    """`Expect: 100-continue`: to receive would be to ask for it."""

    async def scenario() -> tuple[int, Answer]:
        headers = (HOST, (b"content-length", b"100"), (b"expect", b"100-continue"))
        exchange = Exchange(Request("PUT", b"/config/a?x=1", headers))
        answer = await exchange.run(with_documents.front)
        return exchange.received, answer

    received, answer = do(with_documents, scenario())
    assert (received, answer.status, answer.header(b"connection")) == (0, 400, b"close")


def test_what_comes_is_received_for_a_while_only(with_documents: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that goes on and on keeps nothing for ever."""
    monkeypatch.setattr(unread, "LINGER", 0.05)

    async def scenario() -> Answer:
        exchange = Exchange(Request("PUT", b"/nothing", (HOST, (b"content-length", b"100"))))
        return await exchange.run(with_documents.front)

    assert do(with_documents, scenario()).status == 404


def test_a_body_that_was_read_leaves_the_connection_as_it_is(with_documents: Gateway) -> None:
    for body, status in ((b"[1]", 200), (b"[", 400)):
        answer = do(with_documents, ask(with_documents.front, put(b"/config/small", body)))
        assert (answer.status, answer.header(b"connection")) == (status, b"")


# --- the bridge


class Hanging:
    """In Flask's place: hangs until it is told to go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        self.begun.release()
        assert self.go_on.wait(DEADLINE)
        start_response("200 OK", [("Content-Length", "2")])
        return [environ["PATH_INFO"][:2].encode()]


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    application = Hanging()
    yield application
    application.go_on.set()


def front_over(gateway: Gateway, bridge: Bridge, requests: int = 1000) -> Front:
    it = gateway.answering
    return Front(
        it.door,
        it.documents,
        it.hits,
        it.probes,
        it.questions,
        it.changes,
        it.policies,
        it.rollbacks,
        bridge,
        answers=ANSWERS,
        observer=it.instruments.observe,
        requests=requests,
    )


def test_more_requests_than_may_be_under_way_are_refused_and_probes_are_not(
    with_documents: Gateway, hanging: Hanging
) -> None:
    """Over HTTP/2 a connection carries a hundred, so that a bound on connections is none on them."""

    async def scenario() -> None:
        bridge = Bridge(hanging, threads=2, waiting=3)
        front = front_over(with_documents, bridge, requests=2)
        waiting = [asyncio.create_task(ask(front, get(b"/docs"))) for _ in range(2)]
        await until(lambda: front.under_way == 2)
        refused = await ask(front, get(b"/config/small"))
        assert (refused.status, refused.header(b"retry-after"), slug(refused)) == (503, b"1", "too-many-requests")
        assert (await ask(front, get(b"/healthz"))).status == 200
        hanging.go_on.set()
        await asyncio.gather(*waiting)
        assert (await ask(front, get(b"/config/small"))).status == 200
        assert await bridge.close(DEADLINE)

    do(with_documents, scenario())


def test_while_all_of_flask_hangs_the_rest_is_answered(with_documents: Gateway, hanging: Hanging) -> None:
    """Beyond those that may wait: 503 at once; hits, misses, writes, batches and probes don't even notice."""

    async def scenario() -> None:
        bridge = Bridge(hanging, threads=2, waiting=3)
        front = front_over(with_documents, bridge)
        waiting = [asyncio.create_task(ask(front, get(b"/docs"))) for _ in range(5)]
        await until(lambda: not bridge._free)
        refused = await ask(front, get(b"/docs"))
        assert (refused.status, refused.header(b"retry-after"), slug(refused)) == (503, b"1", "too-many-requests")
        batch = b'{"operations": [{"op": "put", "key": "b", "value": 1}]}'
        for request, status in (
            (get(b"/config/small"), 200),
            (get(b"/config/small?use_cache=false"), 200),
            (put(b"/config/small", b"[1]"), 200),
            (Request("POST", b"/config/", (HOST, (b"content-length", b"%d" % len(batch))), batch), 200),
            (Request("DELETE", b"/config/absent"), 204),
            (get(b"/healthz"), 200),
            (get(b"/readyz"), 200),
        ):
            assert (await ask(front, request)).status == status
        assert not any(each.done() for each in waiting)
        hanging.go_on.set()
        assert [(await each).body for each in waiting] == [b"/d"] * 5
        assert (await ask(front, get(b"/docs"))).status == 200, "there is room again"
        assert await bridge.close(DEADLINE)

    do(with_documents, scenario())


def test_a_route_that_hangs_is_answered_in_its_place(
    with_documents: Gateway, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever. Its thread is taken as long as it hangs, so are those of others: the bound holds."""
    monkeypatch.setattr(bridges, "ANSWER_WITHIN", 0.05)

    async def scenario() -> None:
        bridge = Bridge(hanging, threads=1, waiting=1)
        front = front_over(with_documents, bridge)
        first, second = [asyncio.create_task(ask(front, get(b"/docs"))) for _ in range(2)]
        for each in (await first, await second):
            assert (each.status, each.header(b"retry-after"), slug(each)) == (503, b"1", "no-answer")
        await until(lambda: bridge._free == 1)  # who was not begun will never be; the other still has a thread
        assert not await bridge.close(0.05), "it says that a thread is left behind"
        hanging.go_on.set()
        assert await bridge.close(DEADLINE)

    do(with_documents, scenario())


def test_an_answer_of_flask_is_freed_as_soon_as_it_is_sent(with_documents: Gateway) -> None:
    """1. What a thread has answered is kept by the callback that it was given; 2. that names it; 3. until somebody
    looks for cycles, which is seldom, there are as many listings of a megabyte as clients have asked for.
    """
    begun: list[weakref.ref[object]] = []
    seen = threading.Event()

    def answers(_: object, start: Callable[..., object]) -> list[bytes]:
        assert seen.wait(DEADLINE)
        start("200 OK", [])
        return [b"x" * 1_000_000]

    async def scenario() -> None:
        bridge = Bridge(answers, threads=1)
        asking = asyncio.create_task(ask(front_over(with_documents, bridge), get(b"/docs")))
        await until(lambda: bool(bridge._begun))
        begun.extend(map(weakref.ref, bridge._begun))
        seen.set()
        assert (await asking).status == 200
        await until(lambda: not bridge._begun)
        assert await bridge.close(DEADLINE)

    gc.disable()
    try:
        do(with_documents, scenario())
        assert [each() for each in begun] == [None]
    finally:
        gc.enable()


def test_two_first_requests_make_the_application_once() -> None:
    """1. The first request makes it; 2. the second comes meanwhile, and would make another; 3. it waits instead."""
    made, making, go_on = [], threading.Event(), threading.Event()

    def make() -> Callable[..., list[bytes]]:
        made.append(threading.current_thread())
        making.set()
        assert go_on.wait(DEADLINE)
        return lambda environ, _: [environ["PATH_INFO"].encode()]

    application = MadeWhenAsked(make)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(application, {"PATH_INFO": "/1"}, print)
        assert making.wait(DEADLINE)
        second = threads.submit(application, {"PATH_INFO": "/2"}, print)
        assert not wait([first, second], timeout=0.05).done
        go_on.set()
        assert [each.result(DEADLINE) for each in (first, second)] == [[b"/1"], [b"/2"]]
    assert len(made) == 1


def test_the_next_request_makes_the_application_when_the_first_could_not(with_documents: Gateway) -> None:
    """Such as when no file could be opened at that moment."""
    cannot = [OSError(24, "Too many open files")]

    def make() -> Callable[..., list[bytes]]:
        if cannot:
            raise cannot.pop()
        return lambda _, start: start("200 OK", []) or [b"made"]

    async def scenario() -> None:
        bridge = Bridge(MadeWhenAsked(make))
        front = front_over(with_documents, bridge)
        assert (await ask(front, get(b"/docs"))).status == 500
        assert (await ask(front, get(b"/config/small"))).status == 200
        assert (await ask(front, get(b"/docs"))).body == b"made"
        assert await bridge.close(DEADLINE)

    do(with_documents, scenario())


def test_threads_are_joined_at_the_end(with_documents: Gateway) -> None:
    """When `close` returns none is there any more."""

    async def scenario() -> tuple[int, int, int]:
        before = threading.active_count()
        bridge = Bridge(lambda _, start: start("200 OK", []) or [b""], threads=3)
        front = front_over(with_documents, bridge)
        await asyncio.gather(*(ask(front, get(b"/docs")) for _ in range(20)))
        at_work = threading.active_count()
        assert await bridge.close(DEADLINE)
        return before, at_work, threading.active_count()

    before, at_work, after = do(with_documents, scenario())
    assert at_work > before == after


# --- departures


def test_who_goes_away_during_a_slow_read_gives_up_its_wait(gateways: StartGateway) -> None:
    """Counted as 499; what it held is free."""
    gateway = gateways()

    async def scenario() -> None:
        never = asyncio.Event()

        async def slow(*_: object, **__: object) -> Any:
            try:
                await never.wait()
            finally:
                given_up.set()

        given_up = asyncio.Event()
        monkeypatch.setattr(gateway.answering.documents._cache, "get", slow)
        exchange = Exchange(get(b"/config/a?use_cache=false"))
        exchange.say(b"", more=False)
        asking = asyncio.create_task(gateway.front(exchange.request.scope, exchange.receive, exchange.send))
        await until(lambda: exchange.received == 2)
        assert not given_up.is_set()
        exchange.leave()
        await asyncio.wait((asking,), timeout=DEADLINE / 2)
        assert asking.done(), "it still waits"
        assert given_up.is_set()
        assert not exchange.sent
        assert gateway.front.under_way == 0

    with pytest.MonkeyPatch.context() as monkeypatch:
        do(gateway, scenario())
    assert counted(gateway, 499) == 1


@pytest.mark.parametrize("sync", [b"", b"?sync=true"])
def test_a_write_that_was_sent_stays_when_its_client_goes(
    gateways: StartGateway, caplog: pytest.LogCaptureFixture, sync: bytes
) -> None:
    """And its line in the log says that its client can't know: it was told nothing."""
    gateway = gateways(cache_staleness_bound=1.0)  # soon after a start, a synchronous write waits for that long
    caplog.set_level(logging.INFO, "config.requests")
    store = gateway.answering.cache._store
    commit, sent = store.commit, []

    async def scenario() -> None:
        go_on = asyncio.Event()

        async def slow_commit(*given: Any, **more: Any) -> Any:
            sent.append(given)
            await go_on.wait()
            return await commit(*given, **more)

        monkeypatch.setattr(store, "commit", slow_commit)
        request = put(b"/config/stays" + sync, b"[1]")
        exchange = Exchange(request)
        exchange.say(request.body, more=False)
        asking = asyncio.create_task(gateway.front(request.scope, exchange.receive, exchange.send))
        await until(lambda: bool(sent))
        reader = gateway.answering.documents._reader
        assert reader._small.free < reader_free
        exchange.leave()
        await until(lambda: any(record.name == "config.requests" for record in caplog.records))
        assert reader._small.free < reader_free, "its bytes are counted until it is done"
        assert gateway.front.under_way == 1, "an instance that stops waits for it"
        go_on.set()
        await asking
        assert not exchange.sent
        assert reader._small.free == reader_free
        assert (await ask(gateway.front, get(b"/config/stays?use_cache=false"))).body == b"[1]"

    reader_free = gateway.answering.documents._reader._small.free
    with pytest.MonkeyPatch.context() as monkeypatch:
        do(gateway, scenario())
    (line,) = [record.msg for record in caplog.records if record.name == "config.requests"]
    assert isinstance(line, dict)
    assert (line["status"], line["outcome"], line["key"], bool(line["request_id"])) == (499, "unknown", "stays", True)
    assert counted(gateway, 499) == 1


@pytest.mark.parametrize("count", [1, 8])
def test_writes_under_way_are_the_tasks_of_their_requests_and_one_that_commits(
    gateways: StartGateway, count: int
) -> None:
    """A task for each besides, that would see the write through, costs a tenth of what the write does."""
    gateway = gateways()
    store = gateway.answering.cache._store
    commit = store.commit

    async def scenario() -> list[str]:
        go_on, sent = asyncio.Event(), asyncio.Event()

        async def slow_commit(*given: Any, **more: Any) -> Any:
            sent.set()
            await go_on.wait()
            return await commit(*given, **more)

        monkeypatch.setattr(store, "commit", slow_commit)
        monkeypatch.setattr(front, "LOOK_AFTER", 60.0)  # else clients are looked after, if the commit begins late
        before = asyncio.all_tasks()
        requests = [put(b"/config/%d" % number, b"[1]") for number in range(count)]
        asking = [asyncio.create_task(ask(gateway.front, request), name="asking") for request in requests]
        await sent.wait()
        names = sorted(task.get_name() for task in asyncio.all_tasks() - before)
        go_on.set()
        assert {answer.status for answer in await asyncio.gather(*asking)} == {201}
        return names

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert do(gateway, scenario()) == ["asking"] * count + ["group-commit"]


def test_an_answer_that_is_quick_asks_nothing_of_its_client(with_documents: Gateway) -> None:
    """To look whether it has gone is to ask the server, which most requests are spared."""

    async def scenario() -> int:
        exchange = Exchange(get(b"/config/small"))
        await exchange.run(with_documents.front)
        return exchange.received

    assert do(with_documents, scenario()) == 0


# --- what nobody foresaw


@pytest.mark.parametrize("target", [b"/config/small", b"/config/small?use_cache=false", b"/readyz", b"/members"])
def test_a_fault_of_ours_is_a_problem_document_on_every_way(
    with_documents: Gateway, caplog: pytest.LogCaptureFixture, target: bytes
) -> None:
    """Counted, in the log with where it was, and without a word of it for the client."""

    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("secret")

    cache = with_documents.answering.cache
    before = counted(with_documents, 500)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ("hit", "get", "status"):
            monkeypatch.setattr(cache, name, broken)
        answer = do(with_documents, ask(with_documents.front, get(target)))
    document = json.loads(answer.body)
    assert (answer.status, document["type"].rpartition(":")[2], document["outcome"]) == (500, "internal", "unknown")
    assert b"secret" not in answer.body
    assert answer.header(b"x-request-id")
    assert counted(with_documents, 500) == before + 1
    assert any(record.exc_info for record in caplog.records)
