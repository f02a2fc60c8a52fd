"""docs/etcd-cluster.md, run as it stands: every command, in one shell, on addresses of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.instances import PROJECT, environment
from tests.support.unavailable import need

DOCUMENT = (PROJECT / "docs" / "etcd-cluster.md").read_text(encoding="utf-8")

# What the shell has started is ended with it, whether a command fails or not.
OPENING = "set -euo pipefail\ntrap 'kill $(jobs -p) || true; wait' EXIT\n"


def addresses() -> dict[str, str]:
    """Three of the loopback network that no other run on this machine has."""
    first, second = divmod(os.getpid() % 65_000, 250)
    return {name: f"127.{100 + number}.{first}.{second + 1}" for number, name in enumerate(("ONE", "TWO", "THREE"))}


def end(shell: subprocess.Popen[bytes]) -> None:
    """Whatever hangs: the shell is the leader of a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait(5)


@pytest.mark.alone  # three members that elect a leader, and commands that don't ask twice
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address, unless told otherwise")
def test_every_command_does_what_it_says(tmp_path: Path, etcd_recent: Path) -> None:
    need("openssl")
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 10
    programs = os.pathsep.join((str(etcd_recent.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    with (tmp_path / "output").open("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-c", OPENING + "\n".join(blocks)],
            cwd=tmp_path,
            env={**environment(HOST="127.0.0.1", **addresses()), "PATH": programs},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(100)
        finally:
            end(shell)
    printed = (tmp_path / "output").read_text()
    assert code == 0, printed
    before, less, restored = re.findall(r"^config-service: .*?\n\n.*?\n\n", printed, re.M | re.S)
    assert "\nwrong " not in printed
    assert "the 3 endpoints that answer belong to cluster" in before
    assert before.count("tls          certificate of https://127.10") == 3
    assert "ok       auth         etcd knows user 'config-service'" in before
    assert "reading, writing, watching and leases are permitted beneath /config-service/" in before
    assert f"warning  endpoint     https://{addresses()['THREE']}:2379: connection refused" in less
    assert restored.count(" answers after ") == 3
    assert (tmp_path / "backup.db").stat().st_size > 0
