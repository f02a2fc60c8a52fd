"""A member of a fleet that acknowledges nothing: for as long as it is there, a guarded write stays announced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from tests.support.etcd import EtcdServer, wait_for


@contextmanager
def announced(etcd: EtcdServer, prefix: str, write: Any) -> Iterator[tuple[Future[Any], int]]:
    """Has `write` called on a thread; what will come of it, and the revision at which its keys began to be held.

    It waits for the bound. At the end of the block it has ended.
    """
    lease = etcd.etcdctl("lease", "grant", "600").split()[1]
    etcd.etcdctl("put", f"{prefix}/members/63", "{}", f"--lease={lease}")
    try:
        with ThreadPoolExecutor(1, "writer") as thread:
            writing = thread.submit(write)
            found: list[Any] = []

            def is_announced() -> bool:
                found[:] = json.loads(etcd.etcdctl("get", "--prefix", f"{prefix}/intents/", "-w", "json")).get(
                    "kvs", []
                )
                return bool(found)

            wait_for(is_announced, what="an intent")
            assert not writing.done()
            yield writing, int(found[0]["mod_revision"])
            writing.result()
    finally:
        etcd.etcdctl("lease", "revoke", lease)


def op_at(etcd: EtcdServer, prefix: str, revision: int) -> str:
    """What the version did that was the last one at a revision."""
    record = json.loads(etcd.etcdctl("get", f"{prefix}/version", f"--rev={revision}", "--print-value-only"))
    return str(record["op"])
