"""Nothing that clients send holds the loop: what is checked is checked in slices, whatever it is made of."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from io import BytesIO

import pytest

from consistency.core.feed import ChangedKey, Telling, Token, Told
from consistency.core.model import Author, Document
from consistency.core.rollbacks import Plan, Step
from consistency.core.store import Change, Header, Scan
from service.changes.encoding import Encoder
from service.documents import batches
from service.documents.listings import listing, listing_in_slices, page_of, values_of
from service.history.rollbacks import answer_plan
from service.http.answers import Answer, answer_page
from service.http.problems import Refused
from service.http.requests import at_once
from service.json_encoding import SLICE, encode, write_object
from service.json_text import NotJson, scan
from service.policy.reading import Invalid, rules_in
from service.turns import TURN, in_turns
from tests.support.driver import least_hold, run
from tests.support.holds import most

pytestmark = pytest.mark.lasting

MEBIBYTE = 1024 * 1024
LARGEST = 1_572_000
"""Bytes: more than etcd takes at once."""


def of(unit: Callable[[int], bytes], size: int = LARGEST, ends: bytes = b"[]") -> bytes:
    """Units, as many as there is room for."""
    count = (size - 2) // (len(unit(size)) + 1)
    return ends[:1] + b",".join(map(unit, range(count))) + ends[1:]


DOCUMENTS = {
    "numbers": of(lambda _: b"0"),
    "objects": of(lambda _: b'{"":0}'),
    "arrays": of(lambda _: b"[]"),
    "deep arrays": of(lambda _: b"[" * 100 + b"]" * 100),
    "names": of(lambda number: b'"%x":0' % number, ends=b"{}"),
    "names with escapes": of(lambda number: b'"\\n%x":0' % number, ends=b"{}"),
    "escapes": b'"' + b"\\n" * (LARGEST // 2) + b'"',
    "escapes and others": b'["' + b"a\\n" * (LARGEST // 3) + b'"]',
    "a name of escapes": b'{"' + b"\\u0061" * (LARGEST // 6) + b'":0}',
    "a name of escapes and others": b'{"' + b"a\\n" * (LARGEST // 3) + b'":0}',
    "a name of halves of pairs": b'{"' + b"\\ud800" * (LARGEST // 6) + b'":0}',
    "escapes without an end": b'"' + b"\\n" * (LARGEST // 2),
    "one string": b'"' + b"a" * LARGEST + b'"',
    "one number": b"1" * LARGEST,
    "blanks": b" " * LARGEST + b"1",
    "beyond ASCII": '"{}"'.format("é" * (LARGEST // 2)).encode(),
    "beyond the BMP": '"{}"'.format("🎉" * (LARGEST // 4)).encode(),
    "lines, and then an error": b"\n" * LARGEST + b"x",
    "one line, and then an error": '["{}",x'.format("é" * (LARGEST // 2)).encode(),
    "names in names, and then no end": b'{"":'.join(
        of(lambda number: b'"%x":0' % number, 32_000, ends=b"{ ") + b"," for _ in range(45)
    ),
    "names, and then one of them again": of(lambda number: b'"%x":0' % number, ends=b"{}")[:-1] + b',"0":0}',
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_document_holds_the_loop(name: str) -> None:
    """Nothing takes 5 ms at once. In one go, a check of 1 MiB takes up to 300 ms."""

    async def work() -> None:
        try:
            await in_turns(scan(DOCUMENTS[name]))
        except NotJson as error:
            str(error)  # counts lines and columns: that takes its time, too

    seconds, what = least_hold(work)
    assert seconds < most(), what


def batch(*values: bytes) -> bytes:
    """A put for each of the values."""
    puts = (b'{"op":"put","key":"k%d","value":%s}' % (number, value) for number, value in enumerate(values))
    return b'{"operations":[' + b",".join(puts) + b"]}"


BATCHES = {
    "numbers": batch(*[of(lambda _: b"0", 15_000)] * 100),
    "objects": batch(*[of(lambda _: b'{"":0}', 15_000)] * 100),
    "arrays": batch(*[of(lambda _: b"[]", 15_000)] * 100),
    "escapes": batch(*[b'"' + b"\\n" * 7_500 + b'"'] * 100),
    "one value": batch(of(lambda _: b"[]")),
    "500,000 operations": b'{"operations":' + of(lambda _: b"{}") + b"}",
    "fields of the batch": of(lambda number: b'"%x":0' % number, ends=b"{}"),
    "fields of an operation": b'{"operations":[' + of(lambda number: b'"%x":0' % number, ends=b"{}") + b"]}",
    "a key of escapes": b'{"operations":[{"op":"delete","key":"' + b"\\u0061" * (LARGEST // 6) + b'"}]}',
    "an op of escapes": b'{"operations":[{"op":"' + b"\\u0061" * (LARGEST // 6) + b'"}]}',
    "an unknown field of escapes": b'{"operations":[{"op":"put","' + b"\\u0061" * (LARGEST // 6) + b'":0}]}',
}


@pytest.mark.parametrize("name", BATCHES)
def test_no_batch_holds_the_loop(name: str) -> None:
    async def work() -> None:
        with suppress(Refused):
            await in_turns(batches.changes_in(BATCHES[name]))

    seconds, what = least_hold(work)
    assert seconds < most(), what


POLICIES = ("names with escapes", "a name of escapes and others", "a name of halves of pairs")


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_holds_the_loop(name: str) -> None:
    """Whoever may write to etcd may put one of any length. Of a name that is unknown no more is decoded than is told.

    To decode 1.5 MB of halves of pairs takes 60 ms.
    """

    async def work() -> None:
        with suppress(Invalid):
            await in_turns(rules_in(DOCUMENTS[name]))

    seconds, what = least_hold(work)
    assert seconds < most(), what


LISTED = {
    "long keys": ("k" * 490, b'"' + b"x" * 1000 + b'"'),
    "quotes": ('"' * 490, b'"' + b'\\"' * 500 + b'"'),
    "beyond ASCII": ("é" * 245, '"{}"'.format("é" * 500).encode()),
    "keys that no path can name": ("//" * 245, b"0"),
    "no text": ("k" * 490, b"\xff" * 1000),
    "long documents": ("k", b"\n" * MEBIBYTE),
    "long documents, which no client can put": ("k", b"\1" * (MEBIBYTE // 2)),
}


def page_of_1000(name: str) -> Scan:
    """As many documents as a page may have, with the longest keys."""
    key, data = LISTED[name]
    documents = tuple((f"{number:06}/{key}", Document(data, number + 1, number + 1)) for number in range(1000))
    return Scan(Header(1, 1000), documents, more=True)


async def listed(scan: Scan, *, values: bool) -> Answer:
    """As `Documents.page` does it, once etcd has answered."""
    found = await in_turns(listing_in_slices(page_of(scan)))
    return await in_turns(answer_page(found, values_of(scan) if values else None))


@pytest.mark.parametrize("values", [False, True], ids=["names", "documents"])
@pytest.mark.parametrize("name", LISTED)
def test_no_page_of_a_list_holds_the_loop(name: str, values: bool) -> None:
    """In one go, one of 1,000 keys of 490 bytes takes 8 ms."""
    scan = page_of_1000(name)

    async def work() -> None:
        await listed(scan, values=values)

    seconds, what = least_hold(work)
    assert seconds < most(), what


@pytest.mark.parametrize("values", [False, True], ids=["names", "documents"])
@pytest.mark.parametrize("name", LISTED)
def test_a_page_of_a_list_is_one_document_however_it_is_sliced(name: str, values: bool) -> None:
    scan = page_of_1000(name)
    body = run(listed(scan, values=values)).body
    assert body == encode(json.loads(body)) + b"\n"
    assert json.loads(body).keys() == {"keys", "more", "next", "revision"}


def test_a_long_document_in_an_answer_is_encoded_in_many_slices() -> None:
    """On a page, and in what is told of changes. The clock alone does not show it: a quick machine does it in one."""
    page = page_of_1000("long documents")
    assert sum(1 for _ in answer_page(listing(page_of(page)), values_of(page))) > MEBIBYTE // SLICE
    assert sum(1 for _ in write_object(BytesIO(), {"key": "k"}, {"value": "\n" * MEBIBYTE})) == MEBIBYTE // SLICE


CHANGED = {
    "line ends": b"\n" * MEBIBYTE,
    "escapes": b'"' + b'\\"' * (MEBIBYTE // 2) + b'"',
    "what no client can put": b"\1" * (MEBIBYTE // 2),
    "no text": b"\xff" * MEBIBYTE,
}


def told_of(value: bytes) -> Told:
    """One key has changed: this is its document now."""
    changed = ChangedKey("k", "put", 2, value, Author(why="it had to be"))
    return Told(None, Token(2, "1"), 0.0, Telling((changed,)))


@pytest.mark.parametrize("name", CHANGED)
def test_no_change_that_is_told_holds_the_loop(name: str) -> None:
    """Neither in an answer nor in a stream. In one go, 1.5 MB of control characters take 16 ms."""
    told = told_of(CHANGED[name])

    async def work() -> None:
        encoder = Encoder(lambda _: None)
        await encoder.answer(told)
        await encoder.events(told)

    seconds, what = least_hold(work)
    assert seconds < most(), what


def test_no_changes_of_keys_that_can_not_be_told_hold_the_loop() -> None:
    """Other tools may put them. To leave 1,000 of 490 bytes out of an answer, and of a stream, takes 10 ms."""
    hidden = tuple(ChangedKey(f"{number:04}{'//' * 243}", "put", 2, b"1", Author()) for number in range(1000))
    told = Told(None, Token(2, "1"), 0.0, Telling(hidden))

    async def work() -> None:
        left_out: list[int] = []
        encoder = Encoder(left_out.append)
        await encoder.answer(told)
        await encoder.events(told)
        assert left_out == [1000, 1000]

    seconds, what = least_hold(work)
    assert seconds < most(), what


def steps(count: int, key: str, before: bytes, after: bytes | None) -> tuple[Step, ...]:
    """Of a rollback: every third puts a key that is not there."""
    return tuple(
        Step(f"{number:04}{key}", Document(before, number + 1, number + 1) if number % 3 else None, after)
        for number in range(count)
    )


ESCAPES = b'"' + b'\\"' * 250 + b'"'
PLANS = {
    "long keys and documents": Plan("p/", 1, 9, steps(1000, "k" * 490, b"x" * 500, b"y" * 500), 7, ()),
    "quotes": Plan('"/', 1, 9, steps(1000, '"' * 490, ESCAPES, ESCAPES), 7, ()),
    "deletions": Plan("", 1, 9, steps(1000, '"' * 490, ESCAPES * 2, None), 7, ()),
    "sizes alone": Plan("", 1, 9, steps(1000, "\n" * 490, b"x" * 2000, b"y" * 2000), 7, ()),
    "no text": Plan("", 1, 9, steps(1000, "k", b"\xff" * 500, b"\xff" * 500), 7, ()),
    "one document, which no client can put": Plan("", 1, 9, steps(1, "k", b"", b"\1" * (MEBIBYTE // 2)), 0, ()),
    "what can't be known": Plan("", 1, 9, (), 7, tuple((f"{n:03}" + '"' * 490, '"' * 100) for n in range(1000))),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_plan_of_a_rollback_holds_the_loop(name: str) -> None:
    """In one go, one of 1.5 MB takes 9 ms."""

    async def work() -> None:
        await in_turns(answer_plan(PLANS[name]))

    seconds, what = least_hold(work)
    assert seconds < most(), what


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_of_a_rollback_is_one_document_however_it_is_sliced(name: str) -> None:
    plan = PLANS[name]
    body = at_once(answer_plan(plan)).body
    told = json.loads(body)
    assert body == encode(told) + b"\n"
    assert list(told) == ["prefix", "to", "revision", "writes", "puts", "deletes", "unchanged", "unknowable"]
    assert [each["key"] for each in told["puts"] + told["deletes"]] == [step.key for step in plan.steps]
    assert [tuple(each.values()) for each in told["unknowable"]] == list(plan.unknowable)


def test_what_follows_a_long_slice_has_a_turn_of_its_own() -> None:
    """Else a batch would be put together on top of the last slice of its check."""

    def slices(seconds: float) -> Generator[None, None, None]:
        yield
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    async def others_had_their_turn(seconds: float) -> bool:
        turns = list[None]()
        asyncio.get_running_loop().call_soon(turns.append, None)
        await in_turns(slices(seconds))
        return bool(turns)

    assert run(others_had_their_turn(2 * TURN))
    assert not run(others_had_their_turn(0.0))


def test_what_holds_the_loop_is_noticed() -> None:
    """The tests above can fail: in one go, the same takes long."""

    async def work() -> None:
        at_once(scan(DOCUMENTS["objects"]))

    seconds, what = least_hold(work)
    assert seconds > most()
    assert "work" in what


def outcome(ask: Callable[[], tuple[Change, ...]]) -> object:
    """The changes, or what is said against them."""
    try:
        return ask()
    except Refused as refused:
        return refused.problem
    except NotJson as error:
        return str(error)


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_asks_for_the_same_whoever_waits(name: str) -> None:
    """On a loop or not."""

    def slices() -> Generator[None, None, tuple[Change, ...]]:
        return batches.changes_in(BATCHES[name])

    assert outcome(lambda: at_once(slices())) == outcome(lambda: run(in_turns(slices())))
