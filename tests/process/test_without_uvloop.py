"""An instance where uvloop can't be had, as on Windows: it runs on asyncio's own loop, and everything works."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.instances import PROJECT, InstanceProcess


def test_it_serves_and_stops_in_order(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "uvloop.py").write_text('raise ImportError("there is no uvloop for this system")\n')
    with InstanceProcess(tmp_path, PYTHONPATH=os.pathsep.join([str(hidden), str(PROJECT)])) as instance:
        assert "uvloop" not in Path(f"/proc/{instance.pid}/maps").read_text()
        assert instance.put("a", b'{"b": 1}').status_code == 201
        instance.wait_for_slot()
        for cached in ("MISS", "HIT"):
            answer = instance.get("a")
            assert (answer.status_code, answer.content, answer.headers["X-Cache"]) == (200, b'{"b": 1}', cached)
        assert instance.stop() == 0
