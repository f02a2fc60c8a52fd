"""Both shells over real sockets: what a client does when the service does this or that."""

from __future__ import annotations

import queue
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config_client import Change, Closed, Fresh, InvalidValue, Lost, NoSuchKey, Stale, StartFailed, TimedOut
from tests.client.conftest import Made
from tests.client.scripted_history import event
from tests.client.scripted_server import Received, ScriptedServer
from tests.support.instances import within

Make = Callable[..., Made]


def put(key: str, value: str, revision: int) -> bytes:
    return event("put", {"key": key, "mod_revision": revision, "value": value})


def sync(revision: int, age: float | None = 0.1, nonce: str = "a") -> bytes:
    token = f"{revision}-{nonce}"
    return event("sync", {"to": token, "revision": revision, "age": age}, token=token)


def state_of(client: Made) -> type:
    return type(client.state)


RESET = event("reset", {"revision": 5, "cause": "asked"})
SNAPSHOT = RESET + put("app/limit", "10", 4) + put("app/name", '"x"', 5) + sync(5)


def started(client: Made, server: ScriptedServer, *pieces: bytes) -> Received:
    """The stream of a client that has been started with these, or with a snapshot."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(client.start)
        received = server.take().stream(*(pieces or (SNAPSHOT,)))
        starting.result(20)
    return received


def test_what_is_read_is_what_was_told(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/", token="secret")
    stream = started(client, server)
    assert (stream.method, stream.path) == ("GET", "/changes")
    assert stream.query == {"prefix": "app/", "values": "true"}
    assert stream.headers["authorization"] == "Bearer secret"
    assert stream.headers["accept"] == "text/event-stream"
    assert (client["limit"], client.get("name"), client.get("none", default=7)) == (10, "x", 7)
    assert client.revision == 5
    assert state_of(client) == Fresh
    with pytest.raises(NoSuchKey, match=r"app/none: there is no such key at revision 5"):
        client["none"]
    before = client.snapshot()
    stream.send(put("app/limit", "20", 6), event("delete", {"key": "app/name", "mod_revision": 6}))
    assert client["limit"] == 10, "a transaction is seen whole, or not yet"
    stream.send(sync(6))
    client.wait_for(6)
    assert dict(client.snapshot()).keys() == {"limit"}
    assert client["limit"] == 20
    assert {name: document.json() for name, document in before.items()} == {"limit": 10, "name": "x"}


def test_what_is_waited_for_and_does_not_come_is_told(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    started(client, server)
    client.wait_for(5)
    with pytest.raises(TimedOut, match=r"revision 6 has not come within 0.05 s; 5 is held"):
        client.wait_for(6, 0.05)


def test_listeners_are_told_after_file_and_memory(make: Make, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    client = make(server.url, prefix="app/", fallback=file)
    stream = started(client, server)
    told: queue.Queue[tuple[Change, int, bool]] = queue.Queue()

    def tell(change: Change) -> None:
        told.put((change, client.revision, b'"revision":6,' in file.read_bytes()))

    client.on_change("", tell)
    handle = client.on_change("limit", tell)
    stream.send(put("app/limit", "20", 6), sync(6))
    for _ in range(2):
        change, revision, persisted = told.get(timeout=10)
        assert (change.name, change.value, change.revision, revision, persisted) == ("limit", 20, 6, 6, True)
        assert change.before is not None
        assert change.before.json() == 10
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    handle.close()
    stream.send(put("app/limit", "30", 7), sync(7))
    assert told.get(timeout=10)[0].value == 30
    client.wait_for(7)
    assert told.empty(), "who has closed its handle is told no more"


def test_a_listener_that_hangs_or_raises_stops_nobody(server: ScriptedServer) -> None:
    """On a loop a callback that blocks holds the loop, as anything does there; so this is about threads."""
    from config_client import ConfigClient

    client = ConfigClient(server.url, prefix="app/", trust_env=False)
    stream = started(client, server)
    hanging, told = threading.Event(), queue.Queue[int]()

    def fail(_: Change) -> None:
        raise RuntimeError("as a program does")

    client.on_change("", lambda _: hanging.wait(10))
    client.on_change("", fail)
    client.on_change("", lambda change: told.put(change.value))
    for number in range(6, 9):
        stream.send(put("app/limit", str(number), number), sync(number))
        assert told.get(timeout=10) == number
    hanging.set()
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("config-client")]


def test_goodbye_leads_elsewhere_at_once_with_the_token(
    make: Make, server: ScriptedServer, other: ScriptedServer
) -> None:
    client = make([server.url, other.url], prefix="app/")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(client.start)
        assert within(10, lambda: not (server.is_quiet and other.is_quiet))
        first, second = (server, other) if not server.is_quiet else (other, server)
        stream = first.take().stream(SNAPSHOT)
        starting.result(20)
    stream.send(event("goodbye", {"reason": "draining"}, retry=60_000))
    again = second.take()
    assert again.query["after"] == "5-a"
    assert stream.is_left()
    again.stream(put("app/limit", "20", 6), sync(6))
    client.wait_for(6)
    assert state_of(client) == Fresh
    assert first.is_quiet


def test_another_history_is_told_anew_and_not_called_fresh_before(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    started(client, server).close()
    server.take().problem(410, "wrong-timeline", "of a history that was lost")
    again = server.take()
    assert "after" not in again.query
    assert client["limit"] == 10, "better than nothing, and the state says what it is"
    assert state_of(client) == Lost
    again.stream(RESET, put("app/limit", "1", 3))
    assert within(10, lambda: state_of(client) == Stale)
    again.send(sync(3, nonce="b"))
    assert within(10, lambda: client.revision == 3)
    assert (client["limit"], list(client.snapshot())) == (1, ["limit"])
    assert state_of(client) == Fresh


def test_a_history_that_changes_within_a_stream_is_followed(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    stream = started(client, server)
    stream.send(event("reset", {"revision": 2, "cause": "history"}), put("app/limit", "1", 2), sync(2, nonce="b"))
    assert within(10, lambda: client.revision == 2)
    assert client["limit"] == 1


def test_an_older_state_than_is_held_is_not_believed(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    stream = started(client, server)
    stream.send(put("app/limit", "1", 3), sync(3))
    assert stream.is_left()
    assert server.take().query["after"] == "5-a"
    assert client["limit"] == 10


def test_stale_is_said_and_taken_back(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/")
    stream = started(client, server)
    stream.send(event("stale", {"age": 1.2}))
    assert within(10, lambda: state_of(client) == Stale)
    stream.send(sync(5))
    assert within(10, lambda: state_of(client) == Fresh)


def test_silence_is_not_health(make: Make, server: ScriptedServer) -> None:
    client = make(server.url, prefix="app/", silence=0.3)
    stream = started(client, server)
    assert stream.is_left()
    assert server.take().query["after"] == "5-a"


def test_busy_instances_are_left_alone_for_as_long_as_they_ask(
    make: Make, server: ScriptedServer, other: ScriptedServer
) -> None:
    client = make([server.url, other.url], prefix="app/")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(client.start)
        assert within(10, lambda: not (server.is_quiet and other.is_quiet))
        first, second = (server, other) if not server.is_quiet else (other, server)
        first.take().problem(503, "unavailable", "etcd is away", **{"Retry-After": "60"})
        second.take().stream(SNAPSHOT)
        starting.result(20)
    assert first.is_quiet


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda request: request.answer(404), "404, it has no /changes: is this config-service, and new enough?"),
        (lambda request: request.answer(302, headers={"Location": "http://x/"}), "it redirects to http://x/"),
        (lambda request: request.answer(200, b"<html>"), "expected text/event-stream, found nothing"),
        (
            lambda request: request.problem(401, "no-token", "Say who you are."),
            "401, the token is missing or not valid",
        ),
        (lambda request: request.problem(403, "insufficient-scope", "Not for this."), "403, Not for this."),
        (lambda request: request.problem(400, "invalid-parameter", "Prefix."), "400, Prefix."),
    ],
)
def test_a_start_that_is_refused_ends_at_once_and_says_why(
    make: Make, server: ScriptedServer, tmp_path: Path, answer: Callable[[Received], None], said: str
) -> None:
    client = make(server.url, prefix="app/", fallback=tmp_path / "none.json", start_within=60)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(client.start)
        answer(server.take())
        with pytest.raises(StartFailed) as error:
            starting.result(20)
    first, second = error.value.tried
    assert first.startswith(f"{server.url}: {said}")
    assert second == f"the file {tmp_path / 'none.json'}: No such file or directory"
    with pytest.raises(Closed):
        client.get("limit")


def test_a_start_without_anybody_takes_what_is_known_and_goes_on_from_there(
    make: Make, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    first = make(server.url, prefix="app/", fallback=file)
    started(first, server)
    first.close()
    client = make(server.url, prefix="app/", fallback=file, start_within=0.2)
    client.start()
    assert client["limit"] == 10
    assert state_of(client) == Lost, "what a file says of its age is no proof: clocks are set"
    received = server.take()
    assert received.query["after"] == "5-a"
    received.stream(put("app/limit", "20", 6), sync(6))
    client.wait_for(6)
    assert client["limit"] == 20
    assert state_of(client) == Fresh


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "its checksum is not that of its content"),
        (lambda file: file.write_bytes(b"{}"), "it does not begin with 'config-service-client 1'"),
        (lambda file: file.chmod(0o602), "anybody may write it (mode 602)"),
    ],
)
def test_a_file_that_is_torn_or_foreign_is_refused(
    make: Make, server: ScriptedServer, tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "config.json"
    first = make(server.url, prefix="app/", fallback=file)
    started(first, server)
    first.close()
    change(file)
    server.close()
    client = make(server.url, prefix="app/", fallback=file, start_within=0.3)
    with pytest.raises(StartFailed) as error:
        client.start()
    assert f"{file}: {said}" in error.value.tried[-1]


def test_a_file_of_another_prefix_or_too_old_is_refused(make: Make, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    first = make(server.url, prefix="app/", fallback=file)
    started(first, server)
    first.close()
    server.close()
    for options, said in (
        ({"prefix": "other/"}, "it is of the prefix 'app/', and 'other/' is asked for"),
        ({"prefix": "app/", "fallback_max_age": -1.0}, "s ago, and -1 s are accepted at most"),
    ):
        client = make(server.url, fallback=file, start_within=0.3, **options)
        with pytest.raises(StartFailed) as error:
            client.start()
        assert said in error.value.tried[-1]


def test_a_token_that_is_rotated_is_read_anew(make: Make, server: ScriptedServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    client = make(server.url, prefix="app/", token_file=file)
    stream = started(client, server)
    assert stream.headers["authorization"] == "Bearer first"
    file.write_text("second\n")
    stream.close()
    again = server.take()
    assert again.headers["authorization"] == "Bearer second"
    again.stream(sync(5))
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(client.put, "limit", 30)
        request = server.take()
        assert request.headers["authorization"] == "Bearer second"
        file.write_text("third\n")
        request.problem(401, "invalid-token", "None of those.")
        request = server.take()
        assert request.headers["authorization"] == "Bearer third"
        request.answer(200, b"30", {"X-Config-Revision": "7"})
        assert putting.result(20).revision == 7


def test_a_document_that_its_type_refuses_does_not_take_the_place_of_a_good_one(
    make: Make, server: ScriptedServer
) -> None:
    refused: queue.Queue[InvalidValue] = queue.Queue()
    client = make(server.url, prefix="app/", on_invalid=refused.put)
    stream = started(client, server)
    assert client.get("limit", int) == 10
    stream.send(put("app/limit", '"hunter2"', 6), sync(6))
    told = refused.get(timeout=10)
    assert told.key == "limit"
    assert "valid integer" in told.why
    assert "hunter2" not in str(told), "it may be a secret"
    assert client.get("limit", int) == 10
    assert client.state.invalid == ("limit",)
    assert client["limit"] == "hunter2", "as JSON it is fine"
    with pytest.raises(InvalidValue):
        client.get("name", int)
    stream.send(put("app/limit", "20", 7), put("app/name", "1", 7), sync(7))
    client.wait_for(7)
    assert (client.get("limit", int), client.get("name", int)) == (20, 1)
    assert client.state.invalid == ()


@pytest.mark.parametrize("answered", [True, False])
def test_it_closes_at_once_wherever_it_waits(make: Make, server: ScriptedServer, answered: bool) -> None:
    """In the middle of a silent stream, and where a connection is accepted and never answered."""
    client = make(server.url, prefix="app/", silence=60, connect_within=60)
    stream = started(client, server)
    if not answered:
        stream.close()
        stream = server.take()
    before = time.monotonic()
    client.close()
    assert time.monotonic() - before < 10
    assert stream.is_left()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("config-client")]
    with pytest.raises(Closed):
        client.get("limit")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client["limit"],
        lambda client: client.snapshot(),
        lambda client: client.state,
        lambda client: client.put("limit", 1),
        lambda client: client.wait_for(1),
        lambda client: client.on_change("", print),
    ],
)
def test_a_client_that_was_not_started_says_so(make: Make, call: Callable[[Made], object]) -> None:
    client = make("http://127.0.0.1:1")
    with pytest.raises(Closed, match="use it as a context manager, or call start"):
        call(client)


def test_a_value_can_be_any_type_that_pydantic_can_read(make: Make, server: ScriptedServer) -> None:
    from pydantic import BaseModel

    class Limits(BaseModel):
        rate: int
        names: dict[str, list[float]] = {}

    client = make(server.url, prefix="app/")
    limits: dict[str, Any] = {"rate": 5, "names": {"a": [1.5]}}
    started(client, server, RESET, put("app/limit", '{"rate": 5, "names": {"a": [1.5]}}', 4), sync(5))
    assert client.get("limit", Limits) == Limits(**limits)
    assert client.get("limit", Limits) is client.get("limit", Limits), "made once for each change"
    assert client.get("none", Limits, default=Limits(rate=1)).rate == 1
