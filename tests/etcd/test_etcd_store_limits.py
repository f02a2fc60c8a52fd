"""The store over an etcd that has no space left, or that is asked for too much at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consistency.core.events import Event
from consistency.core.model import VersionRecord
from consistency.core.store import Delete, NoSpace, Put, TooLarge, Want
from consistency.etcd.calls import Call
from consistency.etcd.store import MAX_REQUEST, EtcdStore
from tests.etcd.conftest import version
from tests.support.driver import run
from tests.support.etcd import EtcdServer

pytestmark = pytest.mark.secured(quick=True)

TIMEOUT = 5.0
MEBIBYTE = b"x" * 1024 * 1024


def fill(store: EtcdStore) -> None:
    """Writes until the quota is used up."""
    for number in range(100):
        run(store.commit([Put(f"fill-{number}", MEBIBYTE)], version(), timeout=TIMEOUT))


@pytest.mark.fault("NOSPACE")
def test_a_full_etcd_refuses_writes_and_goes_on_reading(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """Fault matrix: NOSPACE → 507 for writes; deletes put the version, so they are refused too, and so are leases.

    Acknowledgements as well: a synchronous write can't be waited for then, but there is none either (rule 12).
    """
    with new_etcd(tmp_path, arguments=["--quota-backend-bytes=8000000"]) as server:
        store = EtcdStore(server.config("full"))
        lease = run(store.grant(60, timeout=TIMEOUT)).id
        assert run(store.claim(0, lease, "{}", timeout=TIMEOUT))
        with pytest.raises(NoSpace, match="database space exceeded"):
            fill(store)
        with pytest.raises(NoSpace):
            run(store.commit([Delete("fill-0")], version(), timeout=TIMEOUT))
        with pytest.raises(NoSpace):
            run(store.grant(60, timeout=TIMEOUT))
        with pytest.raises(NoSpace):
            run(store.acknowledge(0, lease, 1, timeout=TIMEOUT))
        assert run(store.read([Want("fill-0")], None, timeout=TIMEOUT)).found[0].present
        assert run(store.keep_alive(lease, timeout=TIMEOUT)) > 0
        run(store.close())


class WithoutTransactions:
    """Calls to an etcd that refuses every transaction, as some releases do that have outgrown their quota."""

    def __init__(self, store: EtcdStore) -> None:
        self._calls = store._calls
        self.refused = 0

    def ask(self, call: Call, timeout: float) -> Any:
        """As `Calls.ask`."""
        if call.method == "txn":
            self.refused += 1
            raise NoSpace("database space exceeded")
        return self._calls.ask(call, timeout)

    def close(self) -> None:
        """As `Calls.close`."""
        self._calls.close()

    async def ended(self, timeout: float) -> bool:
        """As `Calls.ended`."""
        return await self._calls.ended(timeout)


@pytest.mark.fault("NOSPACE")
@pytest.mark.parametrize("refusing", [False, True], ids=["as this etcd does it", "every transaction refused"])
def test_reads_go_on_where_the_quota_has_been_outgrown(tmp_path: Path, refusing: bool) -> None:
    """As when it is lowered. Some releases refuse even transactions that only read. A batch read stays a snapshot."""
    with EtcdServer(tmp_path) as server:
        store = EtcdStore(server.config("full"))
        lease = run(store.grant(60, timeout=TIMEOUT)).id
        assert run(store.claim(0, lease, "{}", timeout=TIMEOUT))
        first = run(store.commit([Put("a", MEBIBYTE)], version(), timeout=TIMEOUT)).header.revision
        last = run(store.commit([Put("b", b"2")], version(), timeout=TIMEOUT)).header.revision
        run(store.close())
    with EtcdServer(tmp_path, arguments=["--quota-backend-bytes=100000"]) as server:
        store = EtcdStore(server.config("full"))
        calls = WithoutTransactions(store)
        if refusing:
            store._calls = calls  # type: ignore[assignment]
        answer = run(store.read([Want("a", newer_than=first), Want("b"), Want("c")], 0, timeout=TIMEOUT))
        assert (answer.header.revision, answer.version.revision, answer.member) == (last, last, lease)
        unchanged, new, absent = answer.found
        assert (unchanged.present, unchanged.document) == (True, None)
        assert new.document is not None
        assert (new.document.data, absent.present) == (b"2", False)
        survey = run(store.survey(first, timeout=TIMEOUT))
        assert survey.version_then is not None
        assert (survey.version.revision, survey.version_then.revision, len(survey.members)) == (last, first, 1)
        assert run(store.touched(first, limit=10, timeout=TIMEOUT)).count == 2
        assert run(store.existed(["a", "b"], first, timeout=TIMEOUT)) == (True, False)
        assert calls.refused == (3 if refusing else 0)
        run(store.close())


def test_an_answer_beyond_the_receive_limit_is_too_large_and_not_without_space(etcd: EtcdServer, prefix: str) -> None:
    """Hazard: both are RESOURCE_EXHAUSTED; told apart by their details. Asking for fewer works."""
    store = EtcdStore(etcd.config(prefix))
    for number in range(17):
        run(store.commit([Put(f"key-{number}", MEBIBYTE)], version(), timeout=TIMEOUT))
    wants = [Want(f"key-{number}") for number in range(17)]
    with pytest.raises(TooLarge):
        run(store.read(wants, None, timeout=TIMEOUT))
    answer = run(store.read(wants[:15], None, timeout=TIMEOUT))
    assert all(found.document for found in answer.found)
    run(store.close())


def test_the_largest_write_we_let_through_is_one_that_etcd_takes(etcd: EtcdServer, prefix: str) -> None:
    """Hazard: 1.5 MiB a request. Our limit is checked before sending, and is not above etcd's."""
    store = EtcdStore(etcd.config(prefix))
    record = version("a")
    overhead = next(extra for extra in range(1000) if fits(store, record, MAX_REQUEST - extra))
    assert overhead > 0, "the key and the version count as well"
    run(store.close())


@pytest.mark.parametrize("changes", [[Put("a", MEBIBYTE * 2)], [Put(f"key-{n}", b"1") for n in range(101)]],
                         ids=["bytes", "changes"])  # fmt: skip
def test_a_write_beyond_the_limits_is_refused_before_it_is_sent(
    etcd: EtcdServer, prefix: str, changes: list[Put]
) -> None:
    """Hazard: cap before sending, with a clear error."""
    seen: list[Event] = []
    store = EtcdStore(etcd.config(prefix), observer=seen.append)
    with pytest.raises(TooLarge, match="etcd takes at most 100 changes and 1,572,000 bytes"):
        run(store.commit(changes, version(), timeout=TIMEOUT))
    assert seen == []
    run(store.close())


def fits(store: EtcdStore, record: VersionRecord, size: int) -> bool:
    try:
        return run(store.commit([Put("a", b"x" * size)], record, timeout=TIMEOUT)).committed
    except TooLarge:
        return False
