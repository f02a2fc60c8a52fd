"""Which key a request names. Pure: decodes the path once, strictly, and refuses what no two readers would agree on.

A server hands over the percent-decoded path as latin-1 characters, one for each byte. Decoding those bytes leniently
would let two paths name one key, decoding them twice would let an encoded `..` through.

Two things it decodes without a trace: an escape that is none stays as it is, so that `%zz` can't be told from `%25zz`;
and others, though not this one, put U+FFFD where there was no UTF-8. So neither is in any key: who forgot to encode a
`%` is told, and a key is refused in a batch that no path could name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from service.http.problems import bad_request

ROOT = "/config/"
MAX_KEY_BYTES = 512

REPLACEMENT = "\ufffd"
"""What lenient decoders put for bytes that are not UTF-8."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NO_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_CUT_ESCAPE = re.compile(r"%[0-9A-Fa-f]?\Z")


@lru_cache(maxsize=4096)  # of a key that is asked for all the time; what is refused isn't kept
def key_from_path(path_info: str) -> str:
    """The key of a path below `/config/`, as WSGI's PATH_INFO carries it. Raises Refused (400)."""
    path = decode(path_info, "path")
    if not path.startswith(ROOT):
        raise bad_request("invalid-key", f"The path does not begin with {ROOT}.")
    return check_key(path[len(ROOT) :])


def decode(raw: str, what: str) -> str:
    """Text from WSGI's one-character-a-byte form. Raises Refused (400) when the bytes are not UTF-8."""
    try:
        return raw.encode("latin-1").decode("utf-8", "strict")
    except UnicodeError:
        raise bad_request("invalid-encoding", f"The {what} is not UTF-8.") from None


def check_key(key: str) -> str:
    """`key`, if it may name a document. Raises Refused (400)."""
    _check_text(key, key, "key")
    if not key:
        raise bad_request("invalid-key", "The key is empty; it is everything after /config/.")
    _check_segments(key.split("/"), "key")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix`, if a key can start with it: empty, whole segments, or ending inside a segment. Raises Refused (400)."""
    _check_text(prefix, _CUT_ESCAPE.sub("", prefix), "prefix")
    _check_segments(prefix.split("/")[:-1], "prefix")
    return prefix


def path_of(key: str) -> str:
    """The path that names `key`, percent-encoded."""
    return ROOT + quote(key, safe="/")


def check_escapes(text: str, what: str) -> None:
    """Raises Refused (400) for a `%` without two hexadecimal digits after it."""
    if found := _NO_ESCAPE.search(text):
        shown = ascii(text[found.start() : found.start() + 3])
        raise bad_request("invalid-escape", f"The {what} has {shown} in it: % has two hexadecimal digits after it.")


def _check_text(text: str, whole: str, what: str) -> None:
    """`whole`: what of it is not cut off."""
    size = len(text.encode())
    if size > MAX_KEY_BYTES:
        raise bad_request("invalid-key", f"The {what} has {size} bytes; at most {MAX_KEY_BYTES} are allowed.")
    if _CONTROL.search(text):
        raise bad_request("invalid-key", f"The {what} contains a control character.")
    if REPLACEMENT in text:
        raise bad_request("invalid-key", f"The {what} contains U+FFFD, which stands for what could not be decoded.")
    check_escapes(whole, what)


def _check_segments(segments: list[str], what: str) -> None:
    for segment in segments:
        if segment in ("", ".", ".."):
            found = f"the segment {segment!r}" if segment else "an empty segment"
            raise bad_request("invalid-key", f"The {what} contains {found}; empty ones, '.' and '..' are not allowed.")
