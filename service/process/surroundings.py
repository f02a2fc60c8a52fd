"""What an instance needs before there is one."""

from __future__ import annotations

from dataclasses import dataclass
from socket import socket

from service.auth.keyring import Keyring
from service.embedded_etcd.shared import EmbeddedEtcd, RunningEtcd
from service.fleet.advertised import Advertised
from service.process.notify import Notifier
from service.settings.connection import Connection
from service.settings.model import Settings
from service.tls.renewal import Renewal
from service.tls.trust import Trust
from service.workers.place import Place


@dataclass(frozen=True, slots=True)
class Surroundings:
    """held: the port. keyring: None when everybody is let in. notifier: who is told how far the process is.

    `embedded` is None when the etcd is not ours to start, and so is `running`, which tells where it was at the start.
    The address in `advertised` is in `settings`, too. renewal: of the certificate; None where plain HTTP is spoken.
    trust: in the other instances. place: of a worker; None where there is no supervisor.
    """

    settings: Settings
    held: socket
    connection: Connection
    keyring: Keyring | None
    notifier: Notifier
    embedded: EmbeddedEtcd | None
    running: RunningEtcd | None
    advertised: Advertised
    renewal: Renewal | None
    trust: Trust
    place: Place | None = None
