"""etcd's own gRPC proxy in front of an etcd, as operators put it there to spare their cluster streams and renewals.

Owns its process, which dies with the test process. The program is the one that the etcd behind it runs.
"""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from consistency.etcd.config import EtcdConfig
from tests.support.etcd import EtcdServer, dying_with_us, free_ports, wait_for
from tools.processes import listens


class GrpcProxy:
    """`etcd grpc-proxy start`, in front of `etcd`; its log goes to the directory given."""

    def __init__(self, etcd: EtcdServer, directory: Path) -> None:
        self._etcd = etcd
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        (self._port,) = free_ports(1)

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        address = f"127.0.0.1:{self._port}"
        command = [
            str(self._etcd.program), "grpc-proxy", "start", f"--endpoints={self._etcd.endpoint}",
            f"--listen-addr={address}", f"--advertise-client-url={address}",  # where later releases look for themselves
            f"--data-dir={self._directory / 'data'}", *self._certificates(),
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(dying_with_us(command), stdout=log, stderr=log)
        wait_for(self._listens, 20.0, f"the proxy listens; see {self.log}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """As a crash; nothing if it has ended. Its port refuses connections afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._process = None

    @property
    def endpoint(self) -> str:
        """Its client URL."""
        return f"http://127.0.0.1:{self._port}"

    def config(self, prefix: str) -> EtcdConfig:
        """What a store needs to use this prefix through it: a user, if etcd wants one, and no certificates."""
        return replace(self._etcd.config(prefix), endpoints=(self.endpoint,), ca_cert=None, cert=None, key=None)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._directory / "proxy.log"

    def _certificates(self) -> list[str]:
        """The flags for its way to etcd."""
        config, flags = self._etcd.config("/proxy"), []
        for flag, pem in (("cacert", config.ca_cert), ("cert", config.cert), ("key", config.key)):
            if pem:
                (self._directory / flag).write_bytes(pem)
                flags.append(f"--{flag}={self._directory / flag}")
        return flags

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the proxy ended: {self.log.read_text(errors='replace')[-800:]}"
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return listens(self._process.pid, self._port)
