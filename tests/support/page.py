"""The fleet page on fleets of real instances: where it is, and what can be pressed on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from tests.support.etcd import EtcdServer
from tests.support.instances import InstanceProcess

PREFIX = "/page"
BOUND = 8.0
"""Seconds: long enough for a busy machine to tell "within the bound" from "at some time"."""


@dataclass(frozen=True)
class Fleet:
    """Instances that share an etcd."""

    etcd: EtcdServer
    instances: list[InstanceProcess]

    @property
    def url(self) -> str:
        """Of the first one's page."""
        return f"{self.instances[0].url}/"

    def write(self, key: str, value: str, instance: int = 1) -> int:
        """By another instance than the page's, unless told otherwise. The revision."""
        answer = self.instances[instance].put(key, value.encode())
        assert answer.status_code in (200, 201), answer.text
        return int(answer.headers["X-Config-Revision"])

    def plant(self, key: str, value: bytes) -> None:
        """Past the service, which would refuse what is not one JSON document that all readers understand alike."""
        etcdctl = [str(self.etcd.program.parent / "etcdctl"), f"--endpoints={self.etcd.endpoint}"]
        name = f"{PREFIX}/config/{key}"
        subprocess.run([*etcdctl, "put", name], input=value, env={**os.environ, "ETCDCTL_API": "3"}, check=True,
                       timeout=10, stdout=subprocess.DEVNULL)  # fmt: skip

    def stored(self, key: str) -> bytes:
        """What etcd has now."""
        return self.instances[0].get(key, params={"use_cache": "false"}).content


@contextmanager
def running(directory: Path, size: int, **settings: str) -> Iterator[Fleet]:
    """A fleet, ready."""
    with ExitStack() as stack:
        etcd = stack.enter_context(EtcdServer(directory / "etcd"))
        chosen = {**etcd.settings(PREFIX), "CACHE_STALENESS_BOUND": str(BOUND), **settings}
        instances = [InstanceProcess(directory / str(number), **chosen) for number in range(size)]
        for instance in instances:
            stack.enter_context(instance)
        yield Fleet(etcd, instances)


def link(key: str) -> str:
    """Where the page shows this document."""
    return f"#/key/{key.replace('/', '%2F')}"


def press(page: Page, name: str) -> None:
    """The button of this name."""
    page.get_by_role("button", name=name, exact=True).click()
