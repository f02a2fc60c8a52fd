"""The documents that are read and written, and the requests for them. Pure but for the files it is told to write.

Everybody serves the same bytes: a JSON document of 100 bytes, under a key of 13, unless another size is said.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from consistency.core.model import NOBODY, VersionRecord, new_nonce
from consistency.core.records import FRESH, Op, Record

SIZE = 100
"""Bytes of one document, unless said."""

PEER_PREFIX = "/peer"
"""Where in etcd the gateway's writes go: the instances must not take them for writes from outside."""

PUT_AT = 1_764_000_000.0
"""When the gateway's writes say that they were made: seconds since 1970."""

WRITTEN = 900_000
"""Number of the first document that is only written: writing those that are read would unprove them."""


def name_of(number: int) -> str:
    """The key of document `number`, as the service's clients name it."""
    return f"bench/k{number:06}"


def document(number: int, size: int = SIZE) -> bytes:
    """Of so many bytes. It tells its number, so that an answer can be told from others."""
    start = f'{{"name": "k{number:06}", "limit": 10, "text": "'
    return (start + "x" * (size - len(start) - 2) + '"}').encode()


def batches(first: int, end: int, size: int = 100) -> Iterator[bytes]:
    """Bodies for `POST /config/` that put these documents, `size` at a time: as many as the service takes."""
    for start in range(first, end, size):
        numbers = range(start, min(start + size, end))
        puts = [{"op": "put", "key": name_of(each), "value": json.loads(document(each))} for each in numbers]
        yield json.dumps({"operations": puts}).encode()


def reads(count: int, query: str = "") -> Iterator[str]:
    """GETs of the first `count` documents."""
    return (f"GET\t/config/{name_of(number)}{query}\t" for number in range(count))


def writes(count: int) -> Iterator[str]:
    """PUTs of `count` documents that nobody reads."""
    numbers = range(WRITTEN, WRITTEN + count)
    return (f"PUT\t/config/{name_of(number)}\t{document(number).decode()}" for number in numbers)


def gateway_reads(prefix: str, count: int) -> Iterator[str]:
    """The same reads of etcd itself, over its JSON gateway: linearizable ranges."""
    keys = (f"{prefix}/config/{name_of(number)}" for number in range(count))
    return (f"POST\t/v3/kv/range\t{json.dumps({'key': in_base64(key)})}" for key in keys)


def gateway_writes(count: int) -> Iterator[str]:
    """The transaction of a PUT: if the policy is the same, a look, the document, its record, the version key."""
    return (f"POST\t/v3/kv/txn\t{json.dumps(_transaction(number))}" for number in range(WRITTEN, WRITTEN + count))


def _transaction(number: int) -> object:
    key, version = f"{PEER_PREFIX}/config/{name_of(number)}", f"{PEER_PREFIX}/version"
    nonce, name, value = new_nonce(), name_of(number), document(number)
    record = VersionRecord(nonce, frozenset({name}), "put", kept=True).encode()
    look = {"request_range": {"key": in_base64(key), "keys_only": True}}
    data = {"request_put": {"key": in_base64(key), "value": in_base64(document(number))}}
    clock = {"request_put": {"key": in_base64(version), "value": in_base64(record)}}
    past = f"{PEER_PREFIX}/past/{name}\0{nonce}"
    kept = Record(0, Op.PUT, PUT_AT, NOBODY, len(value), value).encode()
    left = {"request_put": {"key": in_base64(past + Op.PUT), "value": in_base64(kept)}}
    absent = {"key": in_base64(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
    fresh = {"request_put": {"key": in_base64(past + FRESH), "value": ""}}
    first = {"request_txn": {"compare": [absent], "success": [fresh]}}
    policy = {"key": in_base64(f"{PEER_PREFIX}/policy")}
    same = policy | {"target": "MOD", "result": "EQUAL", "mod_revision": "0"}
    found = {"request_range": policy | {"keys_only": True}}
    return {"compare": [same], "success": [look, data, left, first, clock], "failure": [look, found]}


def in_base64(data: str | bytes) -> str:
    """As etcd's gateway takes keys and values."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def write_lines(file: Path, lines: Iterable[str]) -> Path:
    """For wrk's script, which has no JSON and no base64."""
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
