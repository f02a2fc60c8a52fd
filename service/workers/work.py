"""What a supervisor is handed."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.embedded_etcd.shared import EmbeddedEtcd
from service.process.notify import Notifier


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to supervise. own: each worker's own port, in order. environ: of the workers, with the secrets.

    drain_wait: seconds. etcd_end: seconds that the embedded etcd may take to end.
    """

    held: socket.socket
    own: Sequence[socket.socket]
    environ: Mapping[str, str]
    notifier: Notifier
    embedded: EmbeddedEtcd | None
    where: str
    drain_wait: float
    etcd_end: float
