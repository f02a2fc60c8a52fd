"""What a read has cost is told by the calls that etcd has taken: which of them load a document."""

from __future__ import annotations

from typing import Any

import pytest
from etcd3 import etcdrpc as pb  # type: ignore[import-untyped]

from consistency.etcd.transactions import Layout, range_op
from simulation.counting import Counting

LAYOUT = Layout("simulated")


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, [True]), ({"min_mod_revision": 5}, [False]), ({"keys_only": True}, []), ({"revision": 5}, [])],
    ids=["whole", "if it is newer", "its key alone", "of the past"],
)
def test_a_document_is_asked_for_by_whoever_wants_its_value_as_it_is_now(
    options: dict[str, Any], asked: list[bool]
) -> None:
    counting = Counting(LAYOUT, on=True)
    counting.take("i-0", "Txn", pb.TxnRequest(success=[range_op(LAYOUT.document("k"), **options)]))
    assert counting.asked_for("i-0", "k") == asked
