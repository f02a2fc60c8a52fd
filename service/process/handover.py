"""Sockets that listen at one address: an older one is let go of without losing a connection.

The kernel shares new connections among all sockets that listen at an address with SO_REUSEPORT, and resets those that
wait at one that is closed:

    1. A listens. B begins to: from now on each of them gets every second connection.
    2. The kernel is told to give all new ones to B, which began last (`take_over`).
    3. What was under way to A, or waits there, A still accepts; after a moment nothing waits there (`waiting`).
    4. A is closed. The kernel shares among those that are left again (`give_back`).

Where several workers share the address, their sockets are counted as well: all new connections of the machine go to B
for a moment. If one more begins or ends just then, the number is wrong, and the kernel shares as ever.

Linux from 5.3 on. Elsewhere, and where a sandbox forbids it, A is closed with what waits there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

Address = tuple[str, int]
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_ATTACH_CBPF = 51
"""SO_ATTACH_REUSEPORT_CBPF, of Linux 4.5 and later; Python has no name for it."""

_RETURN = 0x06
"""BPF_RET | BPF_K: a program of one instruction, which returns a constant, the number of a socket."""

_DETACH = 68
"""SO_DETACH_REUSEPORT_BPF, of Linux 5.3 and later."""

_LISTENS = "0A"
"""TCP_LISTEN, as /proc/net/tcp says it."""

_QUEUE_AT = 24
"""Where in TCP_INFO of a socket that listens the length of its queue stands, as a number of four bytes."""


def listening_at(address: Address) -> frozenset[int]:
    """Which sockets of this process listen there, by their inodes."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(copy) for copy in listeners()]
        return frozenset(os.fstat(each.fileno()).st_ino for each in found if each.getsockname()[:2] == address)


def take_over(inode: int) -> bool:
    """Give new connections to that socket alone, the last that began to listen there; whether the kernel does so."""
    newest = _listening_beside(inode) - 1
    with _copy_of(inode) as listener:
        if listener is None or newest < 1 or not _lets_go(listener):
            return False
        instruction = ctypes.create_string_buffer(struct.pack("=HBBI", _RETURN, 0, 0, newest))
        try:
            listener.setsockopt(socket.SOL_SOCKET, _ATTACH_CBPF, struct.pack("@HP", 1, ctypes.addressof(instruction)))
        except OSError:
            return False
        return True


def give_back(inode: int) -> None:
    """Let the kernel share new connections among all that listen beside that one again."""
    with _copy_of(inode) as listener:
        if listener is not None:
            _lets_go(listener)


def _lets_go(listener: socket.socket) -> bool:
    """Whether the kernel can be told to share again; it is told so."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
    except OSError as error:
        return error.errno == errno.ENOENT  # it was not told anything else
    return True


def _listening_beside(inode: int) -> int:
    """How many sockets listen at the address of that one, itself included, whoever has them; they are counted from 0,
    in the order in which they began. 0 if that can't be told.
    """
    for file in _TABLES:
        with contextlib.suppress(OSError):  # no Linux, or no IPv6
            found = list(_listening_in(file))
            for address, owner in found:
                if owner == inode:
                    return sum(each == address for each, _ in found)
    return 0


def _listening_in(file: Path) -> Iterator[tuple[str, int]]:
    """Address and inode of each. They stand before all others, of which there may be thousands."""
    with file.open(encoding="ascii") as table:
        next(table)
        for line in table:
            fields = line.split()
            if fields[3] != _LISTENS:
                return
            yield fields[1], int(fields[9])


def waiting(inode: int) -> int:
    """Connections that wait to be accepted there; 0 if it listens no more."""
    with _copy_of(inode) as listener:
        if listener is None or not hasattr(socket, "TCP_INFO"):
            return 0
        found: tuple[int] = struct.unpack_from(
            "@I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), _QUEUE_AT
        )
        return found[0]


def listeners() -> Iterator[socket.socket]:
    """Copies of the sockets on which this process listens; whoever gets one closes it."""
    for file in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            number = int(file.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            copy = socket.socket(fileno=os.dup(number))
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield copy
            else:
                copy.close()


@contextlib.contextmanager
def _copy_of(inode: int) -> Iterator[socket.socket | None]:
    with contextlib.ExitStack() as stack:
        for copy in listeners():
            if os.fstat(stack.enter_context(copy).fileno()).st_ino == inode:
                yield copy
                return
        yield None
