"""Where instances can be reached by each other, as text: `host:port`. Pure, but for the name of this machine."""

from __future__ import annotations

import socket

from service.listener import EVERY_ADDRESS
from service.settings import Settings


def address_of(settings: Settings) -> str:
    """Where this instance can be reached by the others, as it tells the fleet: `host:port`."""
    host = settings.cf_instance_internal_ip or settings.host
    if host in EVERY_ADDRESS:
        host = socket.gethostname()
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
