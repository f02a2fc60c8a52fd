"""The page changes no document by itself: what was opened and saved is, byte for byte, what was stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser, Page, expect

from tests.page.json_texts import TEXTS, repeats_a_name, without_space
from tests.support.browser import tab
from tests.support.page import Fleet, link, press, running

pytestmark = pytest.mark.lasting

IN_ONE_PAGE = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

EDIT_AND_SAVE = """async ([key, more]) => {
    const $ = (id) => document.getElementById(id);
    const until = async (what, claim) => {
        for (const end = Date.now() + 10000; !claim(); await new Promise((go) => setTimeout(go, 2)))
            if (Date.now() > end) throw new Error(`${what}: ${document.body.innerText}`);
    };
    const press = (name) => [...document.querySelectorAll("button")].find((each) => each.textContent === name).click();
    location.hash = `#/key/${encodeURIComponent(key)}`;
    await until("open", () => $("document-title").textContent === key && $("value"));
    press("Edit");
    $("text").value += more;
    $("text").dispatchEvent(new Event("input"));
    press("Save");
    await until("save", () => $("problem")?.textContent || $("below")?.textContent.startsWith("Saved at revision"));
    const [said, value] = [$("problem")?.textContent ?? "Saved", $("value")?.textContent];
    if ($("problem")) press("Cancel");
    if ($("question").open) press("Discard my changes");
    return [said, value];
}"""

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One of its own: lists of hundreds of keys have several pages, and others choose theirs from the first."""
    with running(tmp_path_factory.mktemp("exact"), 2) as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: Browser, fleet: Fleet) -> Iterator[Page]:
    """One for all examples."""
    with tab(browser, fleet.url) as opened:
        yield opened


def stored(fleet: Fleet, document: bytes) -> str:
    """A key of its own that holds it, past the service where that would refuse it today."""
    key = f"exact/{next(_numbers)}"
    if fleet.instances[1].put(key, document).status_code == 400:
        fleet.plant(key, document)
    return key


def saved(page: Page, fleet: Fleet, text: str, more: str = "") -> bytes:
    """What is stored after it was opened, `more` typed at its end, and saved. Nothing else must happen but, for two
    members of one name, that the service refuses it, in words.
    """
    key = stored(fleet, text.encode())
    said, value = page.evaluate(EDIT_AND_SAVE, [key, more])
    if said != "Saved":
        assert repeats_a_name(text), said
        assert "Nothing was changed" in said
        return (text + more).encode()
    assert without_space(value) == without_space(text)
    return fleet.stored(key)


@given(text=TEXTS)
@IN_ONE_PAGE
def test_any_document_that_is_opened_and_saved_stays_as_it_is(page: Page, fleet: Fleet, text: str) -> None:
    assert saved(page, fleet, text) == text.encode()


@given(text=TEXTS)
@settings(IN_ONE_PAGE, max_examples=40)
def test_what_is_typed_is_all_that_changes(page: Page, fleet: Fleet, text: str) -> None:
    assert saved(page, fleet, text, more="\n") == f"{text}\n".encode()


LONG = 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        '{"b": 1.0, "a": -0.0, "2": 1, "1": 2}',
        "[1e400, 9007199254740993]",
        '{"a": 1, "a": 2}',
        '["9e", 1234567890123456]',
        "\n\n[1]\n\n",
        "\r[1,\r\n2]\r\r\n",
        '{\r\n  "windows": true,\r\n  "sign": "\u240d"\r\n}\r\n',
        '"\u2028\u2029\x85\x7f\ufeff\U0001f600\uffff"',
        r'"\u0061\ud83d\u0000\/"',
        "[" * 128 + "]" * 128,
        f'"{"x" * LONG}"',
        '"' + r"\n" * (LONG // 2) + '"',
        "[" + "1.0," * (LONG // 4) + "1]",
        "[" + ",\r\n".join(['{"name": "value"}'] * (LONG // 20)) + "]",
    ],
    ids=["numbers", "large numbers", "doubles", "digits", "lines", "returns", "Windows", "odd characters", "escapes",
         "deep", "long string", "long escapes", "long line", "long"],
)  # fmt: skip
def test_a_document_stays_as_it_is(page: Page, fleet: Fleet, text: str) -> None:
    assert saved(page, fleet, text) == text.encode()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b'"\xff\xfe"', "saving would replace it"),
        (b'"a\rb"', "saving would replace it"),
        (b"\xef\xbb\xbf1", "This is not JSON"),
    ],
    ids=["Latin-1", "return in a string", "byte order mark"],
)
def test_what_the_field_would_change_is_said_before_it_is_saved(
    page: Page, fleet: Fleet, document: bytes, said: str
) -> None:
    """Others than the service have put it there."""
    key = f"foreign/{next(_numbers)}"
    fleet.plant(key, document)
    page.goto(fleet.url + link(key))
    press(page, "Edit")
    expect(page.locator("#document-body")).to_contain_text(said)
    press(page, "Cancel")
    expect(page.locator("#value")).to_be_visible()
    assert fleet.stored(key) == document


def test_an_older_version_is_restored_byte_for_byte(page: Page, fleet: Fleet) -> None:
    first = b'\r\n{"b":1.0, "a":1e400,\r"b\xe2\x90\x8d":-0}'
    for document in (first, b"2"):
        fleet.write("exact/history", document.decode())
    page.goto(fleet.url + link("exact/history"))
    press(page, "History")
    press(page, "Restore what was before")
    expect(page.locator("#below")).to_contain_text("Restored at revision")
    assert fleet.stored("exact/history") == first
    press(page, "Delete …")
    press(page, "Delete")
    press(page, "Put it back")
    expect(page.locator("#below")).to_contain_text("Restored at revision")
    assert fleet.stored("exact/history") == first


FORMS = """async (texts) => {
    const { coloured, comparable, indented, readable, withReturns, withSigns } = await import("/page/json_text.js");
    const join = (pieces) => pieces.map(([, text]) => text).join("");
    return texts.map((text) => ({
        indented: indented(text), again: indented(indented(text) ?? ""),
        readable: readable(text), comparable: comparable(text),
        coloured: join(coloured(text)), field: withSigns(text), back: withReturns(withSigns(text)),
    }));
}"""


@given(text=TEXTS)
@IN_ONE_PAGE
def test_every_form_has_the_same_tokens(page: Page, text: str) -> None:
    """And to format what is formatted changes nothing; the field's form has no carriage return, and leads back."""
    (forms,) = page.evaluate(FORMS, [text])
    same = {name: without_space(forms[name]) for name in ("indented", "again", "readable", "comparable")}
    assert set(same.values()) == {without_space(text)}, same
    assert forms["again"] == forms["indented"]
    assert "\r" not in forms["field"]
    assert forms["coloured"] == forms["back"] == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            '{"a":[1.0,{"b":-0}],"c":{},"a":[]}',
            '{\n  "a": [\n    1.0,\n    {\n      "b": -0\n    }\n  ],\n  "c": {},\n  "a": []\n}',
        ),
        ('{"a" : 1}\n', '{\n  "a": 1\n}'),
        ('["9e",1234567890123456]', '[\n  "9e",\n  1234567890123456\n]'),
        ("[1,\n 2]", "[1,\n 2]"),
        ("[1,\r2]", "[\n  1,\n  2\n]"),
        ("1 2", "1 2"),
        ("[1, 2", "[1, 2"),
        ("", ""),
    ],
)
def test_what_is_in_one_line_is_shown_indented(page: Page, text: str, shown: str) -> None:
    """What somebody has formatted stays as it is, and so does what is no JSON."""
    (readable,) = page.evaluate("async (text) => [(await import('/page/json_text.js')).readable(text)]", text)
    assert readable == shown


def test_what_would_grow_too_long_is_left_as_it_is(page: Page) -> None:
    """Depth multiplies: this would have 130 MB."""
    text = "[" + ",".join(["[" * 100 + "]" * 100] * 5000) + "]"
    (forms,) = page.evaluate(FORMS, [text])
    assert forms["indented"] is None
    assert forms["readable"] == forms["comparable"] == forms["coloured"] == text


def test_format_changes_space_alone_and_can_be_undone(page: Page, fleet: Fleet) -> None:
    text = '{"b":1.0,\r"a":"1,2"}'
    fleet.write("exact/format", text)
    page.goto(fleet.url + link("exact/format"))
    press(page, "Edit")
    expect(page.locator("#signs")).to_be_visible()
    press(page, "Format")
    expect(page.locator("#text")).to_have_value('{\n  "b": 1.0,\n  "a": "1,2"\n}')
    expect(page.locator("#signs")).to_be_hidden()
    press(page, "Undo")
    expect(page.locator("#text")).to_have_value('{"b":1.0,\u240d"a":"1,2"}')
    press(page, "Format")
    press(page, "Save")
    expect(page.locator("#below")).to_contain_text("Saved at revision")
    assert fleet.stored("exact/format") == b'{\n  "b": 1.0,\n  "a": "1,2"\n}'
