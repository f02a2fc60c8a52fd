"""What a listing shows of the keys in etcd, and where the next page begins. Pure.

Other tools may have put keys there that no path can name (`service.http.requests`): not UTF-8, `a//b`, an empty one,
control characters, longer than 512 bytes. They are left out, and the walk goes on behind them: where the last key
looked at is one of them, `next` is not a key but a place, `/` and the bytes from which on to look, in hexadecimal. No
key begins with a slash. A page is one range of etcd, however many of its keys are left out: it may have less than was
asked for, even none.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from consistency.core.model import Document, Revision
from consistency.core.store import Listed, Page, Scan
from consistency.etcd.transactions import NO_END, encode, range_end, successor
from service.http.problems import Refused
from service.http.requests import MAX_KEY_BYTES, check_key

AT_ONCE = 1024 * 1024
"""Bytes of documents on one page, unless one alone has more."""

IN_A_SLICE = 50
"""Keys that are looked at in one go: 1,000 of 500 bytes each take 5 ms."""

_PLACE = re.compile(rf"/(?:[0-9a-f]{{2}}){{1,{MAX_KEY_BYTES + 1}}}")


def is_addressable(key: str) -> bool:
    """Whether a path can name this key."""
    try:
        check_key(key)
    except (Refused, UnicodeError):  # UnicodeError: it is not UTF-8
        return False
    return True


@dataclass(frozen=True, slots=True)
class Listing:
    """A page as it is shown. left_out: how many keys no path can name. following: for `after`; None at the end."""

    keys: tuple[Listed, ...]
    left_out: int
    following: str | None
    revision: Revision


def listing(page: Page) -> Listing:
    """Return what is shown of a page."""
    return _shown(page, _addressable(page.keys))


def listing_in_slices(page: Page) -> Generator[None, None, Listing]:
    """Return the same, on a loop that others need."""
    shown: list[Listed] = []
    for start in range(0, len(page.keys), IN_A_SLICE):
        shown += _addressable(page.keys[start : start + IN_A_SLICE])
        yield
    return _shown(page, shown)


def page_of(scan: Scan) -> Page:
    """Return the page that documents are on, as they stood at one revision."""
    told = _fitting(scan)
    keys = tuple(Listed(key, document.mod_revision, document.create_revision) for key, document in told)
    return Page(scan.header, keys, scan.more or len(told) < len(scan.documents))


def values_of(scan: Scan) -> dict[str, bytes]:
    """Return the documents of these keys."""
    return {key: document.data for key, document in _fitting(scan)}


def member_of(value: bytes) -> dict[str, str]:
    """Return a document as it is told beside its key: a string, byte for byte; what is not UTF-8 as `base64`."""
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _addressable(keys: Sequence[Listed]) -> list[Listed]:
    return [listed for listed in keys if is_addressable(listed.key)]


def _shown(page: Page, keys: Sequence[Listed]) -> Listing:
    following = _behind(page.keys[-1].key) if page.more and page.keys else None
    return Listing(tuple(keys), len(page.keys) - len(keys), following, page.header.revision)


def _fitting(scan: Scan) -> Sequence[tuple[str, Document]]:
    """The first of them, as many as are told at once: one at least."""
    left = AT_ONCE
    for number, (_, document) in enumerate(scan.documents):
        left -= len(document.data)
        if left < 0:
            return scan.documents[: max(1, number)]
    return scan.documents


def _behind(key: str) -> str | None:
    if is_addressable(key):
        return key
    name = encode(key)
    if len(name) <= MAX_KEY_BYTES:
        return f"/{successor(name).hex()}"
    # Whatever else begins like this is longer than any key that a path can name: behind all of it.
    end = range_end(name[:MAX_KEY_BYTES])
    return None if end == NO_END else f"/{end.hex()}"


def place(after: str) -> str | bytes:
    """What `after` says: the key to go on behind, or the bytes to go on from. Raises Refused (400)."""
    if after.startswith("/") and _PLACE.fullmatch(after):
        return bytes.fromhex(after[1:])
    return check_key(after)
