"""An embedded etcd that does not answer, though the process that owns it lives."""

from __future__ import annotations

from pathlib import Path

from service.doctor.report import Finding, wrong
from service.embedded_etcd.log import NO_SPACE_LEFT
from service.embedded_etcd.others import is_etcd_of
from service.embedded_etcd.shared import LAST_PAUSE, RunningEtcd


def down(running: RunningEtcd, instance: Path) -> Finding:
    """What became of it, and who has to do something."""
    owner, data, log = running.owner, instance / "etcd", instance / "etcd.log"
    if NO_SPACE_LEFT in running.trouble:
        remedy = f"Make room on the disk of {data}: process {owner} then starts it by itself, within {LAST_PAUSE:g} s."
        return wrong("endpoint", running.trouble, remedy)
    if running.trouble:
        remedy = f"Wait: process {owner} starts it by itself. If it does not come up, look at the end of {log}."
        return wrong("endpoint", running.trouble, remedy)
    found = f"the embedded etcd of process {owner} does not answer at {running.endpoint}"
    if is_etcd_of(running.pid, data.absolute()):
        remedy = f"Look at process {running.pid}: is it stopped, or the machine overloaded? Its log is {log}."
        return wrong("endpoint", f"{found}, though it runs", remedy)
    return wrong("endpoint", found, f"Wait a moment. If that changes nothing, end process {owner}, and start it again.")
