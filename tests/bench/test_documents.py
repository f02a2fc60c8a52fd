"""What is asked of the peers is what the service does."""

from __future__ import annotations

import json

from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]
from google.protobuf import json_format  # type: ignore[import-untyped]

from bench import documents
from consistency.core.model import VersionRecord
from consistency.core.records import Keeping
from consistency.core.store import Put
from consistency.etcd.store import EtcdConfig, EtcdStore
from tests.support.driver import run

NUMBER = documents.WRITTEN


def body(line: str) -> object:
    return json.loads(line.split("\t")[2])


def test_gateway_is_asked_for_the_very_transaction_of_a_put() -> None:
    """Message for message: the same comparison, look and puts, a version with the same names (rules 1 and 15)."""
    (line,) = documents.gateway_writes(1)
    asked = json_format.ParseDict(body(line), pb.TxnRequest())
    record = VersionRecord.decode(asked.success[-1].request_put.value)
    assert record.names == frozenset({documents.name_of(NUMBER)})
    store = EtcdStore(EtcdConfig(("http://127.0.0.1:1",), documents.PEER_PREFIX))  # asks nobody
    change = Put(documents.name_of(NUMBER), documents.document(NUMBER))
    assert asked == sent(store, change, record)
    run(store.close())


def sent(store: EtcdStore, change: Put, record: VersionRecord) -> object:
    """What the store would send."""
    return store._transaction([change], record, False, 0, None, Keeping(65536, documents.PUT_AT), None)


def test_each_transaction_has_a_nonce_of_its_own() -> None:
    lines = list(documents.gateway_writes(3))
    records = [json_format.ParseDict(body(line), pb.TxnRequest()).success[-1].request_put.value for line in lines]
    assert len({VersionRecord.decode(each).nonce for each in records}) == 3


def test_gateway_reads_the_key_that_the_instance_has() -> None:
    lines = list(documents.gateway_reads("/bench", 8))
    asked = json_format.ParseDict(body(lines[7]), pb.RangeRequest())
    assert asked == pb.RangeRequest(key=f"/bench/config/{documents.name_of(7)}".encode())


def test_documents_have_a_hundred_bytes_and_tell_their_number() -> None:
    for number in (0, 7, 999_999):
        assert len(documents.document(number)) == documents.SIZE
        assert json.loads(documents.document(number))["name"] == f"k{number:06}"


def test_batches_put_every_document_once() -> None:
    operations = [each for body in documents.batches(3, 250) for each in json.loads(body)["operations"]]
    assert [each["key"] for each in operations] == [documents.name_of(number) for number in range(3, 250)]
    assert {each["op"] for each in operations} == {"put"}
