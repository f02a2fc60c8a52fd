"""What strangers do to an instance to make it hold memory. A process: `python -m tests.fault_matrix.attacks`.

Owns its connections. Prints a line as soon as each has begun, and how it was answered when its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

MEGABYTE = 1024 * 1024
BOMB = b"[" + b'{"":0},' * ((MEGABYTE - 8) // 7) + b"0]"
NAMES = b"{" + b",".join(b'"%x":0' % number for number in range(MEGABYTE // 10)) + b"}"
_RESET = struct.pack("ii", 1, 0)  # closing leaves no trace among the ports

Answers = Counter[str]
Attack = Callable[[socket.socket, int, Answers], Awaitable[None]]


async def bombs(sock: socket.socket, number: int, answers: Answers) -> None:
    """Large documents that become many times as large when they are built."""
    while True:
        document = (BOMB, NAMES)[number % 2]
        head = b"PUT /config/bomb/%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        await _send(sock, head % (number, len(document)) + document)
        await _answered(sock, answers)


async def slow_bodies(sock: socket.socket, number: int, _: Answers) -> None:
    """All but the last bytes at once, and these drop by drop."""
    head = b"PUT /config/slow/%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n["
    await _send(sock, head % (number, MEGABYTE) + b" " * (MEGABYTE - 1000))
    await _drip(sock)


async def headers(sock: socket.socket, number: int, _: Answers) -> None:
    """15 kB of a header that doesn't end."""
    await _send(sock, b"GET /config/%d HTTP/1.1\r\nHost: localhost\r\nX: " % number + b"x" * 15_000)
    await _drip(sock)


async def unread(path: bytes, sock: socket.socket, _: int, answers: Answers) -> None:
    """A large answer of which only the beginning is ever read."""
    await _send(sock, b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
    await _answered(sock, answers)
    await asyncio.Event().wait()


async def keys(sock: socket.socket, _: int, answers: Answers) -> None:
    """Keys that nobody has, of characters that take four bytes each."""
    chance = random.Random()
    while True:
        key = quote("🎉" * 120 + f"{chance.getrandbits(60):x}")
        await asyncio.sleep(0.1)  # it is about what they leave, not about their number
        await _send(sock, f"GET /config/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await _answered(sock, answers)


ATTACKS: dict[str, Attack] = {
    "bombs": bombs,
    "slow bodies": slow_bodies,
    "headers": headers,
    "bundle": partial(unread, b"/docs/swagger-ui-bundle.js"),
    "document": partial(unread, b"/config/large"),
    "listing": partial(unread, b"/config/?limit=1000"),
    "keys": keys,
}


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def _answered(sock: socket.socket, answers: Answers) -> None:
    """Reads a small answer, or the beginning of a large one. Raises ConnectionError when there is none."""
    found = await asyncio.get_running_loop().sock_recv(sock, 4096)
    if not found.startswith(b"HTTP/1.1 "):
        raise ConnectionError
    answers[found.split(b" ", 2)[1].decode()] += 1


async def _drip(sock: socket.socket) -> None:
    while True:
        await asyncio.sleep(1.0)
        await _send(sock, b" ")


async def _again_and_again(attack: Attack, port: int, number: int, answers: Answers) -> None:
    """A client that is cut off comes again, a moment later."""
    while True:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            try:
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                await attack(sock, number, answers)
            except OSError:
                answers["cut off"] += 1
        await asyncio.sleep(0.2)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def _main(name: str, port: int, connections: int) -> None:
    answers: Answers = Counter()
    attackers = [
        asyncio.create_task(_again_and_again(ATTACKS[name], port, number, answers)) for number in range(connections)
    ]
    _say("begun")
    await asyncio.to_thread(sys.stdin.read)
    _say(str(dict(answers)))
    del attackers
    os._exit(0)  # the kernel closes the connections


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000) if hard > 0 else 20_000, hard))
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
