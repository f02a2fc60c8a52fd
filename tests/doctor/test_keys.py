"""Keys that no path can name: found, named, and removed by the very command that is shown."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import grpc  # type: ignore[import-untyped]
import pytest
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from service.doctor import Level
from tests.doctor.conftest import Examine
from tests.support.etcd import EtcdServer

PREFIX = "/doctor's-keys"
DOCUMENTS = f"{PREFIX}/config/".encode()


@pytest.fixture
def kv(etcd: EtcdServer) -> Iterator[pb.KVStub]:
    with grpc.insecure_channel(etcd.endpoint.removeprefix("http://")) as channel:
        stub = pb.KVStub(channel)
        yield stub
        stub.DeleteRange(pb.DeleteRangeRequest(key=DOCUMENTS, range_end=DOCUMENTS[:-1] + b"0"))


def left(kv: pb.KVStub) -> list[bytes]:
    found = kv.Range(pb.RangeRequest(key=DOCUMENTS, range_end=DOCUMENTS[:-1] + b"0", keys_only=True))
    return [each.key.removeprefix(DOCUMENTS) for each in found.kvs]


@pytest.mark.parametrize(
    "name",
    [b"", b"a//b", b"a'b//c", b"-x/", b'"; rm -rf $HOME/', b"`id`//", b"\xff\xfe", b"a\x00b", b"a\nb\r", b"a\\nb//",
     b"%s//", "é\x85".encode(), b"\xed\xa0\x80", b"x" * 513, b"y" * 512 + b"\x00", b"y" * 512 + b"\xff" * 3,
     b"\xff" * 700],
    ids=lambda name: repr(name[:20]),
)  # fmt: skip
def test_the_command_that_is_shown_removes_that_key_and_no_other(
    etcd: EtcdServer, kv: pb.KVStub, examined: Examine, name: bytes
) -> None:
    good = [b"a", b"a/b", b"x" * 512, b"y" * 512, b"z"]
    for each in (*good, name):
        kv.Put(pb.PutRequest(key=DOCUMENTS + each, value=b"1"))
    found = examined(ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=PREFIX).one("keys")
    assert (found.level, found.found.isprintable()) == (Level.WARNING, True)
    _, command = found.remedy.split("\n")
    command = (
        command.replace("etcdctl", str(etcd.program.parent / "etcdctl"), 1)
        if command.startswith("etcdctl")
        else (command.replace("| etcdctl", f"| {etcd.program.parent / 'etcdctl'}", 1))
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert left(kv) == good
    well = examined(ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=PREFIX).one("keys")
    assert (well.level, well.found) == (Level.OK, f"5 keys beneath {PREFIX}/config/; a path can name each")


def test_of_many_the_first_are_named(etcd: EtcdServer, kv: pb.KVStub, examined: Examine) -> None:
    for number in range(8):
        kv.Put(pb.PutRequest(key=DOCUMENTS + b"a//%d" % number, value=b"1"))
    found = examined(ETCD_ENDPOINTS=etcd.endpoint, USER_KEY_PREFIX=PREFIX).one("keys")
    assert "no path can name 8" in found.found
    assert "and so on for 3 more" in found.remedy
    assert len(found.remedy.split("\n")) == 6
