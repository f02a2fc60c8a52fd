"""A log that nobody reads: requests are answered all the same, and the process ends when it is told to."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from service.process.log_writer import MOST
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

F_SETPIPE_SZ = 1031  # Linux


def test_a_full_pipe_stops_neither_writes_nor_reads_nor_the_end(etcd: EtcdServer, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, F_SETPIPE_SZ, 4096)
    instance = InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX="/full-log")
    instance.errors = theirs
    try:
        with instance:
            os.close(theirs)
            key = "k" * 500
            for _ in range(40):  # some 30 kB of lines
                assert instance.put(key, b"1", timeout=5).status_code in (200, 201)
            assert within(5, lambda: instance.get(key).headers["X-Cache"] == "HIT")
            assert instance.stop() == 0
    finally:
        os.close(ours)


def test_who_reads_again_is_told_what_was_lost(etcd: EtcdServer, tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, F_SETPIPE_SZ, 4096)
    instance = InstanceProcess(tmp_path, ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX="/full-log")
    instance.errors = theirs
    with os.fdopen(ours) as log, instance:
        os.close(theirs)
        # Each key as a batch names it takes up to 3 kB in the log: ten of them, of what can't be printed.
        keys = [f"{number}{chr(0xE000) * 168}" for number in range(10)]
        batch = {"operations": [{"op": "put", "key": key, "value": 1} for key in keys]}
        written = 0
        while written < 2 * MOST:
            assert instance.request("POST", "/config/", json=batch).status_code == 200
            written += 10 * 168 * len("\\\\ue000")
        for text in log:
            line = json.loads(text)
            if line["event"].startswith("log lines were dropped"):
                assert line["lines"] > 0
                break
        instance.kill()
