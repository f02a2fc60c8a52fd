"""Opens one connection to the server on this machine for each client's, and knows whose it is.

For each request the server tells from which address its connection comes. So each connection gets a loopback address
of its own (127.x.y.z). Nothing is put into what the client sends, so there is nothing to forge.

    1. A's connection comes from 127.0.0.7:40001, and ends. A request of its may still be on its way to the loop.
    2. B connects. Were its connection to come from there as well, A's request would be taken for B's.
    3. So no address is used again before 16 million others have been. A's request is nobody's, and refused.

Another program on this machine can connect to the server's port, too. Its connection is nobody's, from whatever
address: the kernel gives no address and port away twice, and a client's is forgotten here before it is closed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Iterator
from functools import partial

from service.process.listener import BUFFER
from service.tls.client_certificates import ClientCertificate
from service.tls.pipe import Side

Address = tuple[str, int]

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")
_FIRST, _LAST = 2, LOOPBACK.num_addresses - 2  # 127.0.0.1 is everybody's


class Inside:
    """Belongs to one loop."""

    def __init__(self) -> None:
        self._known: dict[Address, ClientCertificate] = {}
        self._sources = _sources()

    def whose(self, source: tuple[str, int | str] | None) -> ClientCertificate | None:
        """The certificate of the client whose connection comes from there; None: it is no client's."""
        return self._known.get((source[0], int(source[1]))) if source else None  # Granian tells the port as text

    async def connect(self, server: Address, client: Side, shown: ClientCertificate) -> Side:
        """The other side of a client's connection, to the server; this is what it has shown. Raises OSError."""
        loop = asyncio.get_running_loop()
        made = await self._connected(server)
        source = made.getsockname()
        forget = partial(self._known.pop, source, None)
        side = Side(client, forget)
        self._known[source] = shown  # before anything is sent over it
        try:
            await loop.create_connection(lambda: side, sock=made)  # which is the loop's to close from here on
        except BaseException:
            forget()
            raise
        return side

    async def _connected(self, server: Address) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            made.bind((next(self._sources), 0))
            await asyncio.get_running_loop().sock_connect(made, server)
        except BaseException:
            made.close()
            raise
        return made


def _sources() -> Iterator[str]:
    """One address after the other, from anywhere on, and again from the first after the last."""
    number = random.randint(_FIRST, _LAST)
    while True:
        yield str(LOOPBACK[number])
        number = number + 1 if number < _LAST else _FIRST
