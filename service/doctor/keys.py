"""Keys among the documents that no path can name. Another tool has put them there, and no request can remove them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from consistency.core.store import StoreError
from consistency.etcd.transactions import Layout, encode, range_end, successor
from consistency.loop import run
from service.doctor.report import Finding, ok, warning, wrong
from service.doctor.rights import Etcd
from service.documents.listings import is_addressable, listing, place
from service.http.requests import MAX_KEY_BYTES

PAGE = 1000
MOST_PAGES = 20
"""Of which keys are looked at: an examination must not load an etcd that is ill already."""

MOST_NAMED = 5
_PLAIN = re.compile(rb"[ -~]+")


def keys(etcd: Etcd) -> Finding:
    """Whether a path can name each document, and how those are removed that none can."""
    seen, more, strange = 0, True, dict[bytes, None]()
    after: str | bytes = ""
    try:
        for _ in range(MOST_PAGES):
            page = run(etcd.store.page("", after=after, limit=PAGE, timeout=etcd.timeout))
            seen += len(page.keys)
            strange |= dict.fromkeys(encode(each.key) for each in page.keys if not is_addressable(each.key))
            following = listing(page).following
            more = following is not None
            if following is None:
                break
            after = place(following)
    except StoreError as error:
        return wrong("keys", f"the documents can't be listed: {error}", "See the findings above.")
    looked_at = f"the first {seen:,} keys" if more else f"{seen:,} keys"
    where = f"{looked_at} beneath {etcd.config.prefix}/config/"
    if not strange:
        return ok("keys", f"{where}; a path can name each")
    layout = Layout(etcd.config.prefix)
    commands = dict.fromkeys(removal(etcd.etcdctl, layout.documents, name) for name in list(strange)[:MOST_NAMED])
    rest = f"; and so on for {len(strange) - MOST_NAMED:,} more" if len(strange) > MOST_NAMED else ""
    return warning(
        "keys",
        f"of {where} no path can name {len(strange):,}, such as {_shown(next(iter(strange)))}: listings leave them out",
        "\n".join([f"Another tool has put them there. Remove them, if nobody needs them{rest}:", *commands]),
    )


def removal(etcdctl: str, documents: bytes, name: bytes) -> str:
    """The command for a shell that removes the key `name`, whatever bytes it has. `etcdctl`: how a command begins.

    Where an argument can't hold it, etcdctl reads it: its transactions know Go's way of quoting. What is too long for a
    line goes together with all that is too long and begins alike.
    """
    if len(name) > MAX_KEY_BYTES:
        stem = documents + name[:MAX_KEY_BYTES]
        request = f"del {_quoted(successor(stem))} {_quoted(range_end(stem))}"
    elif _PLAIN.fullmatch(name) and _PLAIN.fullmatch(documents):
        return f"{etcdctl} del -- {shlex.quote((documents + name).decode())}"
    else:
        request = f"del {_quoted(documents + name)}"
    return f"printf '%s\\n' '' '{request}' '' '' | {etcdctl} txn"


def _quoted(raw: bytes) -> str:
    """As Go quotes it, without anything that a shell would take for its own in single quotes."""
    return '"' + "".join(_characters(raw)) + '"'


def _characters(raw: bytes) -> Iterator[str]:
    for byte in raw:
        plain = 0x20 <= byte < 0x7F and byte not in b"\"\\'"
        yield chr(byte) if plain else f"\\x{byte:02x}"


def _shown(name: bytes) -> str:
    return _quoted(name) if len(name) <= 60 else f"{_quoted(name[:60])}… of {len(name):,} bytes"
