"""docs/library.md, run as it stands, on a real etcd: what it prints is what its comments say."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import consistency
from tests.support.asyncio_says import DEBUG, beside_moments
from tests.support.etcd import EtcdServer
from tests.support.instances import PROJECT

DOCUMENT = (PROJECT / "docs" / "library.md").read_text(encoding="utf-8")


def test_the_examples_run(etcd: EtcdServer, prefix: str) -> None:
    """In a process of their own, as they would; warnings are errors, and asyncio looks on."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    program = "\n".join(blocks).replace("http://127.0.0.1:2379", etcd.endpoint).replace("/config-service", f"/{prefix}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=PROJECT, env={**os.environ, DEBUG: "1"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert beside_moments(done.stderr) == ""
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"b'\{\"limit\": 10\}' (BYPASS|MISS|HIT) \d\.\d+", first)
    assert rest[:3] == ["b'{\"limit\": 10}'", "the cache is closed", "{b'{\"limit\": 10}'}"]
    assert rest[3].startswith(("None", "Reading("))
    assert rest[4] == "b'{\"limit\": 30}' True"


def test_what_is_said_to_be_raised_is_there() -> None:
    table = DOCUMENT.partition("## What goes wrong")[2]
    named = set(re.findall(r"`([A-Z]\w+)`", table))
    assert named >= {"Unavailable", "OutcomeUnknown", "Rejected", "WrongTimeline"}
    assert named <= set(consistency.__all__)
