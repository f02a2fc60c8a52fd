"""Who listens at which port of this machine, as the kernel lists it. A server behind the relay tells nobody its own."""

from __future__ import annotations

from pathlib import Path

LISTENS = "0A"


def ports_of(pid: int) -> set[int]:
    """Return all ports at which this process listens."""
    own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()}
    return {port for port, inode in _listening() if f"socket:[{inode}]" in own}


def listeners_at(port: int) -> int:
    """Return how many sockets listen at this port."""
    return [each for each, _ in _listening()].count(port)


def _listening() -> list[tuple[int, str]]:
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(int(fields[1].partition(":")[2], 16), fields[9]) for fields in lines if fields[3] == LISTENS]
