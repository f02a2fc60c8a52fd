"""A request: its head, read once into WSGI's environment, whichever protocol a server speaks; the key that it names;
what it says of itself; and its body, received whole or not at all.

Owns the bounds of names and bodies. Refuses what no two readers would agree on: nothing is guessed.

An ASGI server shows every byte of the path and of each header line, so nothing is decoded before we do it: once, here.
Several lines of a header are one from then on, joined by commas, those of cookies by semicolons. Some WSGI servers
hand over one that is not ASCII as empty. So a header that guards something and is empty was sent, and has not been
understood: it is never taken for absent.

A server hands over the percent-decoded path as latin-1 characters, one for each byte. Decoding those bytes leniently
would let two paths name one key, decoding them twice would let an encoded `..` through. Two things it decodes without a
trace: an escape that is none stays as it is, so that `%zz` can't be told from `%25zz`; and others, though not this one,
put U+FFFD where there was no UTF-8. So neither is in any key: who forgot to encode a `%` is told, and a key is refused
in a batch that no path could name.

X-Change-Reason says why a write is made, in the words of whoever makes it. A header is ASCII, so a reason is written as
keys are in paths: percent-encoded UTF-8, in which `%25` is a percent sign. Nothing is guessed: what was sent and can't
be read is refused, never taken for absent.

    X-Change-Reason: twice the load since Monday
    X-Change-Reason: mehr als 80 %25 im M%C3%A4rz

A body has a time that its length allows, and room within a budget of bytes: large bodies take room until they have been
written, small ones from a part of it that large ones can't fill. Nobody who bears a token takes more than half. Servers
pass a body that was cut short as if it were whole; counting is done here.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote_to_bytes

from consistency.core.records import LONGEST_REASON, Author
from consistency.tasks import Budget
from service.http.problems import Refused, bad_request, refused
from service.json_text import NotJson
from service.tls.client_certificates import SHOWN
from service.turns import in_turns

Environ = dict[str, Any]
"""PEP 3333, but for the `wsgi.` part, which only Flask's routes need (`service.http.bridge`)."""

TRANSFER_ENCODING = "HTTP_TRANSFER_ENCODING"

_NOT_HTTP = {b"content-length": "CONTENT_LENGTH", b"content-type": "CONTENT_TYPE"}
_NAMES_KEPT = 1024


# The head


def environ_of(scope: Mapping[str, Any]) -> Environ:
    """What an ASGI server tells of a request; text is latin-1, a character a byte, as in WSGI."""
    path: bytes = scope["raw_path"]
    if b"%" in path:
        path = unquote_to_bytes(path)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
    }
    if SHOWN in scope:
        environ[SHOWN] = scope[SHOWN]
    _add_headers(environ, scope["headers"])
    return environ


def carries_body(environ: Environ) -> bool:
    """Return whether a body comes with the request, or may come."""
    return environ.get("CONTENT_LENGTH", "0") != "0" or TRANSFER_ENCODING in environ


def conditions_in(environ: Environ) -> tuple[str | None, str | None]:
    """Return If-Match and If-None-Match as they came; Flask's own parser takes malformed ones for absent."""
    return environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")


def _add_headers(environ: Environ, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Several lines of one name are one value (RFC 9110, 5.2)."""
    for raw, value in headers:
        if name := _name(raw):
            text = value.decode("latin-1")
            if name in environ:
                text = environ[name] + ("; " if name == "HTTP_COOKIE" else ",") + text
            environ[name] = text
    if not environ.get("HTTP_HOST", "absent"):
        del environ["HTTP_HOST"]  # so the server shows a request that has none


@lru_cache(maxsize=_NAMES_KEPT)
def _name(header: bytes) -> str:
    """Empty for a name with an underscore, which would be taken for another one with a hyphen."""
    if b"_" in header:
        return ""
    return _NOT_HTTP.get(header) or "HTTP_" + header.decode("latin-1").upper().replace("-", "_")


# Which key it names

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


# What it says of itself

BEARER = "config_service.bearer"
"""In a request's environment: the name of the token that it bears, if there are tokens. No header can be named so."""

REASON = "config_service.reason"
"""Why it is made, if it says so and that could be read."""

_IDENTITY = "config_service.request_id"
"""The id that it got when somebody asked first."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)
_REASON_HEADER = "X-Change-Reason"
_REASON_SENT = "HTTP_X_CHANGE_REASON"
_PRINTABLE = re.compile(r"[ -~]+", re.ASCII)
_NO_PART_OF_A_LINE = ("Cc", "Zl", "Zp")
"""Unicode's categories of what would break a line, or can't be seen and does something."""


def sent_id(environ: Environ) -> str:
    """What the client sent as X-Request-Id; "" if nothing that can be taken."""
    return _plain(environ.get("HTTP_X_REQUEST_ID", ""))


def request_id(environ: Environ) -> str:
    """X-Request-Id, else X-Vcap-Request-Id (Cloud Foundry's router), else 16 random hexadecimal digits, once drawn."""
    if (known := environ.get(_IDENTITY)) is None:
        known = sent_id(environ) or _plain(environ.get("HTTP_X_VCAP_REQUEST_ID", "")) or secrets.token_hex(8)
        environ[_IDENTITY] = known
    return str(known)


def reason_in(environ: Environ) -> str:
    """The reason that a request gives; "" if it gives none. Raises Refused (400)."""
    if _REASON_SENT not in environ:
        return ""
    text = str(environ[_REASON_SENT]).strip(" \t")
    if not _PRINTABLE.fullmatch(text):
        raise _refused_reason("is empty, or not printable ASCII; write anything else as percent-encoded UTF-8")
    check_escapes(text, f"header {_REASON_HEADER}")
    try:
        reason = unquote_to_bytes(text).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise _refused_reason("is not UTF-8 once it is percent-decoded") from None
    if len(reason) > LONGEST_REASON:
        raise _refused_reason(f"has {len(reason)} characters; at most {LONGEST_REASON} are allowed")
    if any(unicodedata.category(character) in _NO_PART_OF_A_LINE for character in reason):
        raise _refused_reason("has a control character or a line end in it")
    return reason


def author_of(environ: Environ) -> Author:
    """Return who makes this request, and why: its token's name, its id, its reason. Raises Refused (400)."""
    if why := reason_in(environ):
        environ[REASON] = why  # for its line in the log
    return Author(environ.get(BEARER, ""), request_id(environ), why)


def _refused_reason(what: str) -> Refused:
    return bad_request("invalid-reason", f"The header {_REASON_HEADER} {what}.")


def _plain(given: str) -> str:
    return given if _PLAIN.fullmatch(given) else ""


# As a log shows it

LOGGER = "config.requests"
"""The log that tells of requests."""

LONGEST_TOLD = 512
"""Characters of a text from outside that the log shows."""


def legible(text: str) -> str:
    """Text from outside as it may stand in a log: cut, and with escapes for what is not printable."""
    if len(text) > LONGEST_TOLD:
        text = text[:LONGEST_TOLD] + "…"
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


# The body

TRANSFER_GRACE = 5.0
"""Seconds that any body and any answer may take."""

LEAST_RATE = 64 * 1024
"""Bytes a second, beyond the grace."""

_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_NOTHING = ("", "0")

Receive = Callable[[], Awaitable[dict[str, Any]]]

COPIES = 7
"""Of a large document that is being written. Measured: as received, in etcd's messages, in gRPC, in its buffers."""

FOR_SMALL = 4
"""One part of the room for bodies out of so many is kept for those that are not large."""

BODY_PATIENCE = 0.1
"""Seconds to wait for room."""

LARGE_BODY = 32 * 1024
"""Bytes of a document beyond which it is checked in slices, alone: the names in it may take nine times as many."""

LEAST_BODY = 4 * 1024
"""Bytes that a write costs, however small its body. One whose client has gone has no connection that would count it."""

CHECKED_WITHIN = 2.0
"""Seconds to wait until other large documents have been checked. One of 1 MiB takes from 10 to 500 ms."""

T = TypeVar("T")


def allowed(length: int) -> float:
    """Seconds in which so many bytes must have been sent or taken."""
    return TRANSFER_GRACE + length / LEAST_RATE


class Body(Protocol):
    """What a request carries."""

    async def receive(self, length: int) -> bytes:
        """Return `length` bytes, or fewer when it ends before."""


class StreamedBody:
    """The body of a request that a server passes on in pieces (ASGI), counted."""

    def __init__(self, receive: Receive, environ: Environ) -> None:
        self._receive = receive
        self._announced = announced(environ)
        self._ended = False
        self.received = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing of it is left to be received."""
        return self.received == self._announced

    def is_small(self, most: int) -> bool:
        """Whether it is said to have so many bytes at most."""
        return self._announced is not None and self._announced <= most

    @property
    def ended(self) -> bool:
        """Whether no more of it will come."""
        return self._ended

    async def receive(self, length: int) -> bytes:
        """Return `length` bytes, or fewer when it ends before; what is beyond is discarded."""
        document = await self.piece()
        if len(document) >= length or not document:
            return document[:length]
        longer = bytearray(document)
        while len(longer) < length and (piece := await self.piece()):
            longer += piece
        return bytes(longer[:length])

    async def piece(self) -> bytes:
        """Return the next bytes; none at the end, or when the client has gone."""
        while not self._ended:
            message = await self._receive()
            if message["type"] != "http.request":
                self._ended = True
                break
            self._ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                self.received += len(piece)
                return bytes(piece)
        return b""

    async def departure(self, tell: Callable[[], None]) -> None:
        """Wait until the client has gone, and tell; to be asked once all of the body has been received."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        tell()


class WholeBody:
    """A body that has been received already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def receive(self, length: int) -> bytes:
        """Return it."""
        return self._body[:length]


def whole_body(environ: Environ, length: int) -> WholeBody:
    """Receive up to `length` bytes in WSGI's way, which waits."""
    stream = environ["wsgi.input"]
    received = bytearray()
    while len(received) < length and (piece := stream.read(length - len(received))):
        received += piece
    return WholeBody(bytes(received))


def announced(environ: Environ) -> int | None:
    """The bytes that the body has; None if that can't be told: with a Transfer-Encoding a proxy may see another end."""
    if TRANSFER_ENCODING in environ:
        return None
    length = environ.get("CONTENT_LENGTH", "")
    if length in _NOTHING:
        return 0
    return int(length) if _DIGITS.fullmatch(length) else None


class BodyReader:
    """Reads documents from requests. Belongs to one loop."""

    def __init__(
        self,
        *,
        max_bytes: int,
        room: int,
        patience: float = BODY_PATIENCE,
        checked_within: float = CHECKED_WITHIN,
    ) -> None:
        """`max_bytes`: of one body. `room`: bytes that all may take, a large one COPIES times its length.

        `patience`: seconds to wait for room. `checked_within`: seconds to wait for others to be checked.
        """
        self._max_bytes = max_bytes
        self._small = Budget(room // FOR_SMALL)
        self._large = Budget(room - room // FOR_SMALL)
        self._share = room // 2
        self._held: Counter[str] = Counter()  # bytes, by the token's name
        self._patience = patience
        self._checking = Budget(1)
        self._checked_within = checked_within

    @asynccontextmanager
    async def reading(self, environ: Environ, body: Body) -> AsyncIterator[bytes]:
        """What the request carries, byte for byte and unchecked; to be left when it has been written.

        Raises Refused: what `length_of` refuses, 400 when cut short, 408 when it comes too slowly, 503 when others take
        all the room.
        """
        length, bearer = self.length_of(environ), environ.get(BEARER, "")
        large = length > LARGE_BODY
        amount = COPIES * length if large else max(length, LEAST_BODY)
        room = self._large if large else self._small
        if bearer:
            self._hold(bearer, amount)
        try:
            if not await room.take(amount, self._patience):
                raise _too_many(f"Too many {'large ' * large}bodies are being received or written.")
            try:
                yield await _receive(body, length)
            finally:
                room.give_back(amount)
        finally:
            if bearer:
                self._let_go(bearer, amount)

    async def checked(self, body: bytes, check: Generator[None, None, T]) -> T:
        """Return what a check of a body comes to, which is done in slices: those of a large one have turns.

        Raises what it raises, and Refused: 400 for what is no JSON document, 503 when others are checked for too long.
        """
        try:
            if len(body) <= LARGE_BODY:
                return at_once(check)
            async with self._checking.lent(1, self._checked_within) as free:
                if not free:
                    raise _too_many("Too many large documents are being checked.")
                return await in_turns(check)
        except NotJson as error:
            raise bad_request("invalid-json", f"The body is not an acceptable JSON document: {error}.") from None

    def length_of(self, environ: Environ) -> int:
        """The bytes announced. Raises Refused: 411 without a Content-Length, 400, 413, 415 when compressed."""
        length = self._announced_length(environ)
        if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() != "identity":
            raise refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-encoding", "The body must be sent without Content-Encoding."
            )
        return length

    def _hold(self, bearer: str, amount: int) -> None:
        """Raises Refused (503)."""
        if self._held[bearer] and self._held[bearer] + amount > self._share:
            raise _too_many("This token's bodies take half of the room already.")
        self._held[bearer] += amount

    def _let_go(self, bearer: str, amount: int) -> None:
        self._held[bearer] -= amount
        if not self._held[bearer]:
            del self._held[bearer]

    def _announced_length(self, environ: Environ) -> int:
        given = environ.get("CONTENT_LENGTH", "")
        if not given:
            raise refused(HTTPStatus.LENGTH_REQUIRED, "length-required", "A body needs a Content-Length.")
        if not _DIGITS.fullmatch(given):
            raise bad_request("invalid-length", "Content-Length must be a number of bytes.")
        length = int(given)
        if length > self._max_bytes:
            raise refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                f"The document has {length} bytes; at most {self._max_bytes} are accepted.",
            )
        return length


def at_once(check: Generator[None, None, T]) -> T:
    """Do all slices of a check in one go; return what they come to. Raises what the check raises."""
    while True:
        try:
            next(check)
        except StopIteration as end:
            result: T = end.value
            return result


async def _receive(body: Body, length: int) -> bytes:
    try:
        async with asyncio.timeout(allowed(length)):
            document = await body.receive(length)
    except TimeoutError:
        raise refused(
            HTTPStatus.REQUEST_TIMEOUT, "slow-body", f"The body did not come within {allowed(length):.0f} s."
        ) from None
    if len(document) != length:
        raise bad_request(
            "incomplete-body", f"The body ended after {len(document)} bytes; Content-Length promised {length}."
        )
    return document


def _too_many(reason: str) -> Refused:
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-bodies", reason, retry_after=1)
