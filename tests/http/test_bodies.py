"""How a body is received. Hazard: servers pass a body that was cut short as if it were whole."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import pytest

from service.http.bodies import LARGE, BodyReader
from service.http.problems import Refused
from service.memory.capacity import COPIES

DEADLINE = 10.0


def environ(body: bytes, **more: str) -> dict[str, Any]:
    """A request with this body, as WSGI hands it over."""
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **more}


def status_of(reader: BodyReader, request: dict[str, Any]) -> int:
    """What the reader refuses this request with."""
    with pytest.raises(Refused) as refusal:
        reader.read(request)
    return int(refusal.value.problem.kind.status)


@pytest.fixture
def reader() -> BodyReader:
    return BodyReader(max_bytes=100, threads=4)


def test_a_whole_body_is_returned_byte_for_byte(reader: BodyReader) -> None:
    """The contract."""
    assert reader.read(environ(b' {"b":1,  "a":2}\n')) == b' {"b":1,  "a":2}\n'


@pytest.mark.parametrize("length", ["6", "100"])
def test_a_body_that_was_cut_short_is_refused(reader: BodyReader, length: str) -> None:
    """Hazard: `12345` cut from `123456` is JSON as well."""
    assert status_of(reader, environ(b"12345", CONTENT_LENGTH=length)) == 400


def test_a_body_without_a_length_is_refused(reader: BodyReader) -> None:
    """The contract: 411."""
    assert status_of(reader, environ(b"1", CONTENT_LENGTH="")) == 411


@pytest.mark.parametrize("length", ["+5", "-1", "5, 5", "5,6", "0x5", " 5", "1_0", "\u0665", "1e1", "9" * 30])
def test_a_length_that_is_not_a_number_is_refused(reader: BodyReader, length: str) -> None:
    """Python's int() takes most of these; proxies don't, and disagreeing is how requests are smuggled."""
    assert status_of(reader, environ(b"12345", CONTENT_LENGTH=length)) == 400


def test_a_body_over_the_limit_is_refused_before_it_is_read(reader: BodyReader) -> None:
    """The contract: 413; not one byte of it is taken in."""
    request = environ(b"1" * 101)
    assert status_of(reader, request) == 413
    assert request["wsgi.input"].tell() == 0


def test_a_body_at_the_limit_is_accepted(reader: BodyReader) -> None:
    """The limit is the largest size that passes."""
    assert reader.read(environ(b"1" * 100)) == b"1" * 100


@pytest.mark.fault("malformed input of any kind")
def test_a_compressed_body_is_refused(reader: BodyReader) -> None:
    """Stored as it came, it would be returned as if it were JSON."""
    assert status_of(reader, environ(b"1", HTTP_CONTENT_ENCODING="gzip")) == 415


class Drip(io.RawIOBase):
    """A body that arrives byte by byte."""

    def __init__(self, body: bytes) -> None:
        self._rest = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(min(size, 1))


def test_a_body_that_comes_in_pieces_is_put_together(reader: BodyReader) -> None:
    """A stream may return less than it was asked for without being at its end."""
    assert reader.read({"wsgi.input": Drip(b"[1, 2, 3]"), "CONTENT_LENGTH": "9"}) == b"[1, 2, 3]"


class Stuck(io.RawIOBase):
    """A body whose client has stopped sending, until it is told to go on."""

    def __init__(self, started: threading.Semaphore, go_on: threading.Event) -> None:
        self._started = started
        self._go_on = go_on

    def read(self, size: int = -1) -> bytes:
        self._started.release()
        assert self._go_on.wait(DEADLINE)
        return b"1" * size


@contextmanager
def slow_clients(reader: BodyReader, count: int) -> Iterator[list[Future[bytes]]]:
    """While inside, `count` bodies are being received."""
    started, go_on = threading.Semaphore(0), threading.Event()
    with ThreadPoolExecutor(count) as pool:
        request = {"CONTENT_LENGTH": "1"}
        reads = [pool.submit(reader.read, {**request, "wsgi.input": Stuck(started, go_on)}) for _ in range(count)]
        try:
            assert all(started.acquire(timeout=DEADLINE) for _ in reads)
            yield reads
        finally:
            go_on.set()


@pytest.mark.fault("1,000 slow clients")
def test_at_most_half_of_the_threads_wait_for_bodies(reader: BodyReader) -> None:
    """Hazard: clients that send drop by drop occupy every thread. The rest is told at once that nothing was done."""
    with slow_clients(reader, 2) as reads:
        assert status_of(reader, environ(b"1")) == 503
    assert [read.result(DEADLINE) for read in reads] == [b"1", b"1"]
    assert reader.read(environ(b"1")) == b"1"  # the places are free again


def test_a_crowd_of_quick_bodies_waits_its_turn_and_a_quarter_of_the_threads_at_most() -> None:
    """A body that is sent at once takes a moment: whoever comes in that moment has done nothing to be refused for.

    Two of four threads receive bodies; of two more one may wait, the other is refused while the first still waits.
    """
    reader = BodyReader(max_bytes=100, threads=4, patience=DEADLINE)
    with ThreadPoolExecutor(2) as pool:
        with slow_clients(reader, 2):
            more = [pool.submit(reader.read, environ(b"1")) for _ in range(2)]
            refused, waiting = wait(more, DEADLINE, return_when=FIRST_COMPLETED)
        assert [type(each.exception(DEADLINE)) for each in refused] == [Refused]
        assert [each.result(DEADLINE) for each in waiting] == [b"1"]


class Checks:
    """Large documents being checked: each waits at its first pause until it is told to go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()

    def pause(self, _: float) -> None:
        """In place of a sleep."""
        if not self.go_on.is_set():
            self.begun.release()
            assert self.go_on.wait(DEADLINE)


OF_64_KB = b"[" + b"1," * (LARGE - 2) + b"11]"


def test_large_documents_are_checked_one_at_a_time() -> None:
    """What a check needs is needed once, however many send large documents. Small ones don't wait."""
    checks = Checks()
    reader = BodyReader(max_bytes=2 * LARGE, threads=8, checked_within=DEADLINE, pause=checks.pause)
    with ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(reader.read, environ(OF_64_KB)) for _ in range(2)]
        assert checks.begun.acquire(timeout=DEADLINE)
        assert reader.read(environ(b"[1]")) == b"[1]"
        assert not checks.begun.acquire(timeout=0.2), "the other one has begun as well"
        checks.go_on.set()
        assert [read.result(DEADLINE) for read in reads] == [OF_64_KB] * 2


def test_a_large_document_that_waits_too_long_for_others_is_refused() -> None:
    """503, and nothing was done; what keeps a place for receiving while it waits keeps it that long at most."""
    checks = Checks()
    reader = BodyReader(max_bytes=2 * LARGE, threads=8, checked_within=0.0, pause=checks.pause)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(reader.read, environ(OF_64_KB))
        assert checks.begun.acquire(timeout=DEADLINE)
        assert status_of(reader, environ(OF_64_KB)) == 503
        checks.go_on.set()
        assert first.result(DEADLINE) == OF_64_KB
    assert status_of(reader, environ(OF_64_KB[:-1])) == 400, "refused as a document"
    assert reader.read(environ(OF_64_KB)) == OF_64_KB, "a refused one does not keep the others waiting"


def test_large_bodies_take_room_until_they_are_written() -> None:
    """COPIES times their length, while etcd is being asked too; small ones take none. Who finds no room: 503."""
    reader = BodyReader(max_bytes=2 * LARGE, threads=8, room=COPIES * len(OF_64_KB), patience=0.01)
    with reader.reading(environ(OF_64_KB)) as document:
        assert document == OF_64_KB
        assert status_of(reader, environ(OF_64_KB)) == 503
        assert reader.read(environ(b"[1]")) == b"[1]"
    assert status_of(reader, environ(OF_64_KB[:-1] + b"x")) == 400
    assert status_of(reader, environ(OF_64_KB[:-1], CONTENT_LENGTH=str(len(OF_64_KB)))) == 400
    assert reader.read(environ(OF_64_KB)) == OF_64_KB, "what was refused gives its room back"


def test_a_place_is_given_back_when_receiving_fails() -> None:
    """Else one broken connection each would use them up."""
    reader = BodyReader(max_bytes=100, threads=2)
    for _ in range(3):
        assert status_of(reader, environ(b"1", CONTENT_LENGTH="2")) == 400
    with pytest.raises(AttributeError):
        reader.read({"CONTENT_LENGTH": "1", "wsgi.input": None})
    assert reader.read(environ(b"1")) == b"1"
