"""How often the collector of cycles looks through what requests are made of."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from tests.http.test_on_the_wire import Wire, request
from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess, within

CROWD = 200
READS = 'config_http_requests_total{method="GET",route="/config/<key>",status="200"}'


def count_of(instance: InstanceProcess, series: str) -> int:
    """What /metrics tells of it."""
    text = instance.request("GET", "/metrics").text
    return sum(int(float(found)) for found in re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE))


def test_readers_that_wait_are_not_looked_through_for_cycles(new_etcd: type[EtcdServer], tmp_path: Path) -> None:
    """What they are made of is in no cycle: to look through it time and again is a fifth of what a read costs."""
    young = 'python_gc_collections_total{generation="0"}'
    with (
        new_etcd(tmp_path / "etcd") as etcd,
        InstanceProcess(tmp_path, **etcd.settings("/collections"), ETCD_TIMEOUT="20") as instance,
        ExitStack() as stack,
    ):
        instance.put("a", b"1")
        crowd = [stack.enter_context(Wire(instance)) for _ in range(CROWD)]
        etcd.pause()
        try:
            before = count_of(instance, young)
            for wire in crowd:
                wire.send(request("GET", b"/config/a?use_cache=false"))
        finally:
            etcd.resume()
        assert {wire.answer().status for wire in crowd} == {200}
        assert within(5, lambda: count_of(instance, READS) >= CROWD)
        assert count_of(instance, young) - before <= 4
